package io.github.mnv4.app

import android.annotation.TargetApi
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.Rect
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.os.Build
import android.util.Size
import kotlin.math.abs
import kotlin.math.roundToInt

/** What the app needs to know about one of the device's cameras before it opens it. */
internal class Lens(
    val id: String,
    /** Whether it faces the user. Android mirrors the preview of such a camera, but not its frames. */
    val front: Boolean,
    /** How far the frames must be turned clockwise to be upright on a display in its natural position, in degrees. */
    private val orientation: Int,
    /** The size of the frames and of the preview, so that both show the same part of the scene. */
    val size: Size,
    val torch: Boolean,
    /** The zoom ratios that the camera offers. */
    val zooms: ClosedFloatingPointRange<Float>,
    /** The sensor's area, if zooming means cropping it; null if the camera takes a ratio. */
    private val area: Rect?,
) {
    /** The size of the preview on a display in its natural position. */
    val natural: Size = if (orientation % HALF_TURN == 0) size else Size(size.height, size.width)

    /** Returns how far frames must be turned clockwise on a display turned by [turns] quarters counterclockwise. */
    fun rotation(turns: Int): Int = if (front) orientation + QUARTER * turns else orientation - QUARTER * turns

    /** Returns the zoom ratio that follows [zoom]: the smallest one, 1, 2, 4, 8, the largest one, and again. */
    fun next(zoom: Float): Float {
        val between = listOf(1f, 2f, 4f, 8f).filter { it in zooms }
        return (between + zooms.endInclusive).firstOrNull { it > zoom * NEARLY_SAME } ?: zooms.start
    }

    /** Sets the zoom of a request. */
    @TargetApi(Build.VERSION_CODES.R)
    fun zoom(
        request: CaptureRequest.Builder,
        ratio: Float,
    ) {
        if (area != null) {
            val crop = Rect(0, 0, (area.width() / ratio).roundToInt(), (area.height() / ratio).roundToInt())
            crop.offset((area.width() - crop.width()) / 2, (area.height() - crop.height()) / 2)
            request.set(CaptureRequest.SCALER_CROP_REGION, crop)
        } else if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
            request.set(CaptureRequest.CONTROL_ZOOM_RATIO, ratio)
        }
    }

    companion object {
        private const val QUARTER = 90
        private const val HALF_TURN = 180
        private const val SHORTER = 480
        private const val FOUR_TO_THREE = 4.0 / 3
        private const val NEARLY_SAME = 1.01f

        /**
         * Returns the cameras that give frames: the first one that faces away, and the first that faces the user.
         *
         * @throws CameraFailed if the camera service does not answer.
         */
        fun all(context: Context): List<Lens> =
            askCamera(context) {
                val manager = context.getSystemService(CameraManager::class.java)
                manager.cameraIdList
                    .mapNotNull { of(it, manager.getCameraCharacteristics(it)) }
                    .sortedBy { it.front }
                    .distinctBy { it.front }
            }

        @TargetApi(Build.VERSION_CODES.R)
        private fun of(
            id: String,
            facts: CameraCharacteristics,
        ): Lens? {
            val streams = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP) ?: return null
            val size = size(streams.getOutputSizes(ImageFormat.YUV_420_888).orEmpty().asList()) ?: return null
            val ratios =
                if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) {
                    null
                } else {
                    facts.get(CameraCharacteristics.CONTROL_ZOOM_RATIO_RANGE)
                }
            val area = facts.get(CameraCharacteristics.SENSOR_INFO_ACTIVE_ARRAY_SIZE)
            val most = facts.get(CameraCharacteristics.SCALER_AVAILABLE_MAX_DIGITAL_ZOOM).takeIf { area != null } ?: 1f
            return Lens(
                id = id,
                front = facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT,
                orientation = facts.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0,
                size = size,
                torch = facts.get(CameraCharacteristics.FLASH_INFO_AVAILABLE) == true,
                zooms = if (ratios == null) 1f..most else ratios.lower..ratios.upper,
                area = area.takeIf { ratios == null },
            )
        }

        /** Returns the smallest size of at least [SHORTER] lines, 4 to 3 if there is one: the whole sensor. */
        fun size(all: List<Size>): Size? {
            val enough = all.filter { it.height >= SHORTER }.ifEmpty { all }
            return enough.minWithOrNull(
                compareBy({ abs(it.width.toDouble() / it.height - FOUR_TO_THREE) > 0.01 }, { it.width * it.height }),
            )
        }
    }
}
