package io.github.mnv4.app

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.util.Size
import android.view.Surface
import kotlin.math.abs

/** The back camera, or the only one: its picture on a texture, and its frames on a thread of its own. */
internal class Camera private constructor(
    private val manager: CameraManager,
    private val id: String,
    /** The clockwise rotation of the frames on a display in its natural position, in degrees. */
    private val orientation: Int,
    /** The size of the frames and of the picture, so that both show the same. */
    val size: Size,
    private val frame: (Image, Int) -> Unit,
    private val failed: (String) -> Unit,
) : AutoCloseable {
    private val main = Handler(Looper.getMainLooper())
    private val thread = HandlerThread("frames").apply { start() }
    private val frames = Handler(thread.looper)
    private val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, BUFFERS)
    private var device: CameraDevice? = null
    private var closed = false

    /** Shows the picture on [texture]; only with the permission. */
    @SuppressLint("MissingPermission")
    fun start(texture: SurfaceTexture) {
        texture.setDefaultBufferSize(size.width, size.height)
        reader.setOnImageAvailableListener(
            { it.acquireLatestImage()?.use { image -> frame(image, orientation) } },
            frames,
        )
        guarded { manager.openCamera(id, Opened(Surface(texture)), main) }
    }

    private inner class Opened(
        private val preview: Surface,
    ) : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (closed) return camera.close()
            device = camera
            guarded {
                // Its successor needs Android 9.
                @Suppress("DEPRECATION")
                camera.createCaptureSession(listOf(preview, reader.surface), Configured(camera, preview), main)
            }
        }

        override fun onDisconnected(camera: CameraDevice) = end(camera, "another app has taken it")

        override fun onError(
            camera: CameraDevice,
            error: Int,
        ) = end(camera, "error $error")

        override fun onClosed(camera: CameraDevice) = preview.release()
    }

    private inner class Configured(
        private val camera: CameraDevice,
        private val preview: Surface,
    ) : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) =
            guarded {
                if (closed) return@guarded
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                request.addTarget(preview)
                request.addTarget(reader.surface)
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                session.setRepeatingRequest(request.build(), null, null)
            }

        override fun onConfigureFailed(session: CameraCaptureSession) = end(camera, "its streams were refused")
    }

    private fun end(
        camera: CameraDevice,
        why: String,
    ) {
        camera.close()
        device = null
        if (!closed) failed(why)
    }

    private fun guarded(block: () -> Unit) =
        try {
            block()
        } catch (error: CameraAccessException) {
            failed(error.message.orEmpty())
        } catch (error: IllegalStateException) {
            failed(error.message.orEmpty()) // it was closed by the system in between
        }

    override fun close() {
        closed = true
        device?.close()
        device = null
        frames.post(reader::close) // behind a frame that is being looked at
        thread.quitSafely()
    }

    companion object {
        private const val BUFFERS = 2
        private const val SHORTER = 480
        private const val FOUR_TO_THREE = 4.0 / 3

        /**
         * The camera to use; null where there is none.
         *
         * @param frame gets the frames, and how many degrees they are turned clockwise to be upright on
         *     a display in its natural position, on a thread in the background; they are closed after it.
         * @param failed receives why the camera ended, on the main thread.
         */
        fun find(
            context: Context,
            frame: (Image, Int) -> Unit,
            failed: (String) -> Unit,
        ): Camera? {
            val manager = context.getSystemService(CameraManager::class.java)
            val cameras = manager.cameraIdList.associateWith(manager::getCameraCharacteristics)
            val (id, facts) =
                cameras.entries.firstOrNull { facing(it.value) == CameraCharacteristics.LENS_FACING_BACK }
                    ?: cameras.entries.firstOrNull()
                    ?: return null
            val streams = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
            val sizes = streams?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty()
            val size = size(sizes.asList()) ?: return null
            val orientation = facts.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
            return Camera(manager, id, orientation, size, frame, failed)
        }

        private fun facing(facts: CameraCharacteristics) = facts.get(CameraCharacteristics.LENS_FACING)

        /** The smallest of at least [SHORTER] lines, 4 to 3 if there is one: the whole sensor. */
        fun size(all: List<Size>): Size? {
            val enough = all.filter { it.height >= SHORTER }.ifEmpty { all }
            return enough.minWithOrNull(
                compareBy({ abs(it.width.toDouble() / it.height - FOUR_TO_THREE) > 0.01 }, { it.width * it.height }),
            )
        }
    }
}
