package io.github.mnv4

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ImageFormat
import android.graphics.Rect
import android.media.ExifInterface
import android.media.Image
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Orientation
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.TurnedPixels
import io.github.mnv4.core.YuvPixels
import io.github.mnv4.core.YuvPlane
import java.io.ByteArrayInputStream
import java.io.IOException
import java.io.InputStream

/** Makes sources of pixels from the platform's images. */
public object Images {
    /**
     * Returns a bitmap's pixels. Alpha is dropped without blending, as in training.
     *
     * @throws Mnv4Exception.BadImage if it is recycled, or in the memory of the GPU.
     */
    public fun of(bitmap: Bitmap): PixelSource {
        if (bitmap.isRecycled) throw Mnv4Exception.BadImage("bitmap: is recycled")
        if (bitmap.config == Bitmap.Config.HARDWARE) {
            throw Mnv4Exception.BadImage(
                "bitmap: found Config.HARDWARE, whose pixels cannot be read; decode with " +
                    "ImageDecoder.ALLOCATOR_SOFTWARE or copy(Bitmap.Config.ARGB_8888, false)",
            )
        }
        return BitmapPixels(bitmap)
    }

    /**
     * Returns a camera frame's pixels, read from its planes.
     *
     * @param rotationDegrees by how much the frame is turned clockwise to be upright (`SENSOR_ORIENTATION`).
     * @throws Mnv4Exception.BadImage if the format is not `YUV_420_888`, or the rotation is not a
     *     multiple of 90.
     */
    public fun of(
        frame: Image,
        rotationDegrees: Int,
    ): PixelSource {
        if (frame.format != ImageFormat.YUV_420_888) {
            throw Mnv4Exception.BadImage("frame: found format ${frame.format}, allowed: YUV_420_888")
        }
        val planes = frame.planes.map { YuvPlane(it.buffer, it.rowStride, it.pixelStride) }
        return yuv(planes, frame.cropRect, rotationDegrees)
    }

    internal fun yuv(
        planes: List<YuvPlane>,
        crop: Rect,
        rotationDegrees: Int,
    ): PixelSource {
        val (y, u, v) = planes
        val upright = Orientation.ofDegrees(rotationDegrees)
        return TurnedPixels(YuvPixels(y, u, v, crop.left, crop.top, crop.width(), crop.height()), upright)
    }

    /**
     * Decodes a JPEG, PNG or WebP and turns it as its EXIF orientation says.
     *
     * @throws Mnv4Exception.BadImage if it cannot be decoded.
     */
    public fun decode(stream: InputStream): PixelSource {
        val bytes =
            try {
                stream.readBytes()
            } catch (error: IOException) {
                throw Mnv4Exception.BadImage("image: cannot be read: ${error.message}", error)
            }
        val options = BitmapFactory.Options()
        // Training used no premultiplied alpha, and samples of 16 bits would only be truncated.
        options.inPremultiplied = false
        options.inPreferredConfig = Bitmap.Config.ARGB_8888
        val bitmap =
            try {
                BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
            } catch (error: OutOfMemoryError) {
                throw Mnv4Exception.BadImage("image: too large for this phone's memory", error)
            } ?: throw Mnv4Exception.BadImage("image: not in a format that Android decodes")
        return TurnedPixels(of(bitmap), orientation(bytes))
    }

    private fun orientation(bytes: ByteArray): Orientation =
        try {
            val exif = ExifInterface(ByteArrayInputStream(bytes))
            Orientation.ofExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
        } catch (_: IOException) {
            Orientation.UPRIGHT // a format without EXIF
        }
}

private class BitmapPixels(
    private val bitmap: Bitmap,
) : PixelSource {
    override val width: Int get() = bitmap.width
    override val height: Int get() = bitmap.height

    override fun readRow(
        y: Int,
        into: IntArray,
    ): Unit = bitmap.getPixels(into, 0, width, 0, y, width, 1)

    override fun readColumn(
        x: Int,
        into: IntArray,
    ): Unit = bitmap.getPixels(into, 0, 1, x, 0, 1, height)
}
