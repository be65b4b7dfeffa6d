package io.github.mnv4

import android.annotation.TargetApi
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.Rect
import android.media.ExifInterface
import android.media.Image
import android.os.Build
import io.github.mnv4.core.CroppedPixels
import io.github.mnv4.core.FramePlane
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Orientation
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.exifChunk
import io.github.mnv4.core.uprightHeight
import io.github.mnv4.core.uprightWidth
import java.io.ByteArrayInputStream
import java.io.IOException
import java.io.InputStream

/** Makes sources of pixels from the platform's images. */
public object Images {
    /** The default of `maxPixels` in [decode]; this many pixels need 64 MiB. */
    public const val MAX_PIXELS: Int = 1 shl 24

    /**
     * Returns a bitmap's pixels.
     *
     * A bitmap of any config is accepted. `ALPHA_8` is grey, as `BitmapFactory` decodes into it. Alpha is
     * dropped without blending, as in training. `HARDWARE` is copied at once; any other bitmap is read
     * later, while the network runs, and must not be recycled or changed until then.
     *
     * @throws Mnv4Exception.BadImage if it is recycled.
     */
    @JvmStatic
    public fun of(bitmap: Bitmap): PixelSource {
        if (bitmap.isRecycled) throw Mnv4Exception.BadImage("bitmap: $RECYCLED")
        if (bitmap.config != Bitmap.Config.HARDWARE) return BitmapPixels(bitmap)
        val copy = bitmap.copy(Bitmap.Config.ARGB_8888, false)
        return BitmapPixels(copy ?: throw Mnv4Exception.BadImage("bitmap: cannot be copied from the memory of the GPU"))
    }

    /**
     * Returns a camera frame's pixels within its `cropRect`.
     *
     * `YUV_420_888` and `RGBA_8888` are accepted. The pixels are read while the network runs, so the frame
     * must not be closed before the call has returned.
     *
     * @param rotationDegrees the clockwise turn that makes the frame upright (`SENSOR_ORIENTATION`).
     * @throws Mnv4Exception.BadImage if the frame is closed or has another format, or the rotation is not a
     *     multiple of 90.
     */
    @JvmStatic
    public fun of(
        frame: Image,
        rotationDegrees: Int,
    ): PixelSource =
        framePixels {
            val planes = frame.planes.map { FramePlane(it.buffer, it.rowStride, it.pixelStride) }
            CameraFrame(frame.format, planes, frame.cropRect, rotationDegrees)
        }

    /**
     * Returns a part of an image, for example what a detector found.
     *
     * @param region the part, in pixels of the upright image: `uprightWidth` x `uprightHeight`, which are fewer
     *     than the file has if [decode] sampled it.
     * @throws Mnv4Exception.BadImage if the region is empty, or not within the image.
     */
    @JvmStatic
    public fun PixelSource.cropped(region: Rect): PixelSource {
        if (region.isEmpty || !Rect(0, 0, uprightWidth, uprightHeight).contains(region)) {
            throw Mnv4Exception.BadImage(
                "region: found ${region.toShortString()}, must be within $uprightWidth x $uprightHeight and not empty",
            )
        }
        return CroppedPixels.upright(this, region.left, region.top, region.width(), region.height())
    }

    /**
     * Decodes an image in any format that Android decodes, and turns it as its EXIF orientation says.
     *
     * The orientation is that of JPEG, PNG and WebP files, and of HEIF files from Android 8.1 (API 27) on.
     * Colour profiles are not applied, as in training; before Android 10 (API 29), Android applies them.
     *
     * @param stream is read once, to its end, and not closed.
     * @param maxPixels an image with more pixels is decoded at 1/2, 1/4, ... of its width and height, so
     *     that it has at most as many. Memory for each is four bytes.
     * @throws Mnv4Exception.BadImage if it cannot be decoded.
     */
    @JvmStatic
    @JvmOverloads
    public fun decode(
        stream: InputStream,
        maxPixels: Int = MAX_PIXELS,
    ): PixelSource {
        require(maxPixels > 0) { "maxPixels: found $maxPixels, must be 1 or more" }
        try {
            val bytes = stream.readBytes()
            return BitmapPixels(decode(bytes, maxPixels), orientation(bytes))
        } catch (error: IOException) {
            throw Mnv4Exception.BadImage("image: cannot be read: ${error.message}", error)
        } catch (error: OutOfMemoryError) {
            throw Mnv4Exception.BadImage("image: too large for this phone's memory; pass a smaller maxPixels", error)
        }
    }

    private fun decode(
        bytes: ByteArray,
        maxPixels: Int,
    ): Bitmap {
        val options = BitmapFactory.Options()
        options.inJustDecodeBounds = true
        BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
        options.inJustDecodeBounds = false
        options.inSampleSize = sampleSize(options.outWidth, options.outHeight, maxPixels)
        // Training used no premultiplied alpha, and samples of 16 bits would only be truncated.
        options.inPremultiplied = false
        options.inPreferredConfig = Bitmap.Config.ARGB_8888
        val bitmap =
            BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
                ?: throw Mnv4Exception.BadImage("image: not in a format that Android decodes")
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) ignoreProfile(bitmap)
        return bitmap
    }

    @TargetApi(Build.VERSION_CODES.Q)
    private fun ignoreProfile(bitmap: Bitmap) {
        bitmap.setColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
    }

    private fun sampleSize(
        width: Int,
        height: Int,
        maxPixels: Int,
    ): Int {
        var sample = 1
        while (ceil(width, sample).toLong() * ceil(height, sample) > maxPixels) sample *= 2
        return sample
    }

    private fun ceil(
        side: Int,
        sample: Int,
    ): Int = (side + sample - 1) / sample

    internal fun orientation(bytes: ByteArray): Orientation =
        try {
            val data = exifChunk(bytes) ?: bytes
            // The class of API 26 refuses fewer than 5,000 bytes.
            val exif = ExifInterface(ByteArrayInputStream(if (data.size < 5000) data.copyOf(5000) else data))
            Orientation.ofExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
        } catch (_: IOException) {
            Orientation.UPRIGHT // a format without EXIF
        } catch (_: RuntimeException) {
            Orientation.UPRIGHT // a HEIF file whose container MediaMetadataRetriever does not read
        }
}

private const val RECYCLED = "is recycled; recycle it after the call has returned"

private class BitmapPixels(
    private val bitmap: Bitmap,
    override val orientation: Orientation = Orientation.UPRIGHT,
) : PixelSource {
    override val width: Int = bitmap.width
    override val height: Int = bitmap.height
    private val grey = bitmap.config == Bitmap.Config.ALPHA_8

    override fun read(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
        into: IntArray,
    ) {
        try {
            bitmap.getPixels(into, 0, width, left, top, width, height)
        } catch (error: IllegalStateException) {
            throw Mnv4Exception.BadImage("bitmap: $RECYCLED", error)
        }
        if (grey) for (i in 0 until width * height) into[i] = (into[i] ushr 24) * 0x010101
    }
}
