package io.github.mnv4

import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.graphics.Rect
import io.github.mnv4.core.FramePlane
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Mnv4Internal
import io.github.mnv4.core.Orientation
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.RgbaPixels
import io.github.mnv4.core.YuvPixels

/** What `Image` and CameraX's `ImageProxy` have in common. */
@Mnv4Internal
public class CameraFrame(
    /** A constant of `ImageFormat` or `PixelFormat`. */
    public val format: Int,
    /** The planes: three of YUV, one of RGBA. */
    public val planes: List<FramePlane>,
    /** The part to read, before it is turned. */
    public val crop: Rect,
    /** The clockwise turn that makes the frame upright. */
    public val rotationDegrees: Int,
)

/**
 * Returns the pixels of a camera frame.
 *
 * @param open reads the frame, and fails with [IllegalStateException] if it is closed.
 * @throws Mnv4Exception.BadImage if it is closed, or in a format that is not read.
 */
@Mnv4Internal
public fun framePixels(open: () -> CameraFrame): PixelSource {
    val frame = ifOpen(open)
    val crop = frame.crop
    val upright = Orientation.ofDegrees(frame.rotationDegrees)
    return when (frame.format) {
        ImageFormat.YUV_420_888 -> {
            val (y, u, v) = frame.planes
            OpenPixels(YuvPixels(y, u, v, crop.left, crop.top, crop.width(), crop.height(), upright))
        }
        PixelFormat.RGBA_8888 -> {
            val plane = frame.planes.single()
            OpenPixels(RgbaPixels(plane, crop.left, crop.top, crop.width(), crop.height(), upright))
        }
        else -> throw Mnv4Exception.BadImage(
            "frame: found format ${frame.format}, allowed: YUV_420_888 (${ImageFormat.YUV_420_888}) and " +
                "RGBA_8888 (${PixelFormat.RGBA_8888}); pass the bytes of a JPEG to Images.decode",
        )
    }
}

/** The pixels of a frame that may be closed meanwhile: Android's buffers throw [IllegalStateException] then. */
internal class OpenPixels(
    private val pixels: PixelSource,
) : PixelSource by pixels {
    override fun read(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
        into: IntArray,
    ): Unit = ifOpen { pixels.read(left, top, width, height, into) }
}

private inline fun <T> ifOpen(read: () -> T): T =
    try {
        read()
    } catch (error: IllegalStateException) {
        throw Mnv4Exception.BadImage("frame: is closed; close it after the call has returned", error)
    }
