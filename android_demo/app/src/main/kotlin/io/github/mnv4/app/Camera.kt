package io.github.mnv4.app

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.view.Surface
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.launch

/**
 * An open camera: its preview on a texture, and its frames. Only for the main thread.
 *
 * @param consume collects the frames, in [scope], until it is cancelled, and closes each of them.
 * @param failed receives why the camera ended, for the user.
 */
internal class Camera(
    private val context: Context,
    val lens: Lens,
    texture: SurfaceTexture,
    private val scope: CoroutineScope,
    private val consume: suspend (Flow<Image>) -> Unit,
    private val failed: (String) -> Unit,
) : AutoCloseable {
    private val main = Handler(Looper.getMainLooper())
    private val thread = HandlerThread("frames").apply { start() }
    private val frames = Handler(thread.looper)
    private val reader =
        ImageReader.newInstance(lens.size.width, lens.size.height, ImageFormat.YUV_420_888, BUFFERS)
    private val preview: Surface
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var consuming: Job? = null
    private var closed = false

    /** Whether the light is on. */
    var torch = false
        set(value) {
            field = value
            request()
        }

    /** One of the lens's zoom ratios. */
    var zoom = 1f
        set(value) {
            field = value
            request()
        }

    init {
        texture.setDefaultBufferSize(lens.size.width, lens.size.height)
        preview = Surface(texture)
    }

    /** A frame that nobody waits for is closed here. */
    private val images =
        callbackFlow {
            val listener =
                ImageReader.OnImageAvailableListener { reader ->
                    reader.acquireLatestImage()?.let { if (trySend(it).isFailure) it.close() }
                }
            reader.setOnImageAvailableListener(listener, frames)
            awaitClose { reader.setOnImageAvailableListener(null, null) }
        }.buffer(Channel.RENDEZVOUS)

    /** Opens the camera; needs the permission. */
    @SuppressLint("MissingPermission")
    fun start() {
        val job = scope.launch { consume(images) }
        // Not earlier: until then, a frame may be read, whose memory is the reader's.
        job.invokeOnCompletion {
            frames.post(reader::close)
            thread.quitSafely()
        }
        consuming = job
        guarded { context.getSystemService(CameraManager::class.java).openCamera(lens.id, Opened(), main) }
    }

    private inner class Opened : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (closed) return camera.close()
            device = camera
            guarded {
                // Its successor needs Android 9.
                @Suppress("DEPRECATION")
                camera.createCaptureSession(listOf(preview, reader.surface), Configured(), main)
            }
        }

        override fun onDisconnected(camera: CameraDevice) {
            camera.close()
            fail(context.getString(R.string.camera_taken))
        }

        override fun onError(
            camera: CameraDevice,
            error: Int,
        ) {
            camera.close()
            fail(
                when (error) {
                    ERROR_CAMERA_IN_USE, ERROR_MAX_CAMERAS_IN_USE -> context.getString(R.string.camera_taken)
                    ERROR_CAMERA_DISABLED -> context.getString(R.string.camera_disabled)
                    else -> context.getString(R.string.camera_reported, "$error")
                },
            )
        }

        override fun onClosed(camera: CameraDevice) = preview.release()
    }

    private inner class Configured : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) {
            if (closed) return
            this@Camera.session = session
            request()
        }

        override fun onConfigureFailed(session: CameraCaptureSession) =
            fail(context.getString(R.string.camera_streams, lens.size.width, lens.size.height))
    }

    /** Asks for frames, with the torch and the zoom as they are set; again after each change. */
    private fun request() =
        guarded {
            val session = session ?: return
            val request = session.device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
            request.addTarget(preview)
            request.addTarget(reader.surface)
            request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
            if (torch) request.set(CaptureRequest.FLASH_MODE, CaptureRequest.FLASH_MODE_TORCH)
            lens.zoom(request, zoom)
            session.setRepeatingRequest(request.build(), null, null)
        }

    private inline fun guarded(block: () -> Unit) =
        try {
            askCamera(context, block)
        } catch (error: CameraFailed) {
            fail(error.message.orEmpty())
        }

    private fun fail(why: String) {
        if (closed) return
        close()
        failed(why)
    }

    override fun close() {
        if (closed) return
        closed = true
        session = null
        device?.close() ?: preview.release()
        device = null
        consuming?.cancel()
    }

    private companion object {
        /** One frame is read, one waits for its turn, one is on its way, and the reader looks for the latest of two. */
        const val BUFFERS = 5
    }
}

/** Why a camera cannot be used; the message is for the user. */
internal class CameraFailed(
    message: String,
    cause: Exception,
) : Exception(message, cause)

/**
 * Calls the camera service.
 *
 * @throws CameraFailed if it throws anything.
 */
internal inline fun <T> askCamera(
    context: Context,
    block: () -> T,
): T =
    try {
        block()
    } catch (error: CameraAccessException) {
        val text =
            when (error.reason) {
                CameraAccessException.CAMERA_IN_USE, CameraAccessException.MAX_CAMERAS_IN_USE ->
                    context.getString(R.string.camera_taken)
                CameraAccessException.CAMERA_DISABLED -> context.getString(R.string.camera_disabled)
                else -> context.getString(R.string.camera_reported, "${error.message}")
            }
        throw CameraFailed(text, error)
    } catch (error: RuntimeException) {
        // SecurityException if the permission was withdrawn, IllegalArgumentException if the camera was unplugged or
        // its surface is gone, IllegalStateException if the system closed it, and what makers of phones add.
        throw CameraFailed(context.getString(R.string.camera_reported, "$error"), error)
    }
