package io.github.mnv4

import android.app.Application
import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.ColorSpace
import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.graphics.Rect
import android.media.Image
import android.media.MediaDataSource
import android.media.MediaMetadataRetriever
import io.github.mnv4.Images.cropped
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Orientation
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.PreprocessSpec
import io.github.mnv4.core.Preprocessor
import io.github.mnv4.core.TensorSpec
import io.github.mnv4.core.uprightHeight
import io.github.mnv4.core.uprightWidth
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.FilterInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import kotlin.math.abs

/** Images of the platform, through its own decoder and bitmaps. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 34, 35], application = Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ImagesTest {
    private fun refused(block: () -> Unit): String =
        assertThrows(Mnv4Exception.BadImage::class.java) { block() }.message!!

    @Test
    fun `every format as Python decodes it`() {
        val formats = Fixtures.json("formats.json")
        assertTrue(formats.length() >= 30)
        for (name in formats.keys()) {
            val case = formats.getJSONObject(name)
            val file = File(Fixtures.folder, "formats/$name")
            val picture = Images.decode(file.inputStream())
            assertEquals(name, case.getInt("width"), picture.uprightWidth)
            assertEquals(name, case.getInt("height"), picture.uprightHeight)
            val wanted = File("$file.rgb").readBytes()
            val found = Fixtures.rgb(picture)
            val worst = wanted.indices.maxOf { abs((wanted[it].toInt() and 0xff) - (found[it].toInt() and 0xff)) }
            assertTrue("$name differs by $worst", worst <= case.getInt("off"))
        }
    }

    /** Answers as Android's class does for an upright photo in a HEIF file of a sensor that lies on its side. */
    @Implements(MediaMetadataRetriever::class)
    class Turned {
        /** Called by ExifInterface for a HEIF file. */
        @Implementation
        protected fun extractMetadata(key: Int): String? =
            when (key) {
                MediaMetadataRetriever.METADATA_KEY_HAS_IMAGE -> "yes"
                MediaMetadataRetriever.METADATA_KEY_IMAGE_ROTATION -> "90"
                else -> null
            }
    }

    private val heif =
        "\u0000\u0000\u0000\u0018ftypheic\u0000\u0000\u0000\u0000heicmif1".toByteArray() + ByteArray(5000)

    @Test
    @Config(sdk = [34, 35], shadows = [Turned::class]) // of API 28 and newer
    fun `the orientation of a HEIF file is that of its container`() {
        assertEquals(Orientation.TURNED_90, Images.orientation(heif))
    }

    /** Fails as Android's class does with a file that it cannot read. */
    @Implements(MediaMetadataRetriever::class)
    class Refusing {
        /** Called by ExifInterface for a HEIF file. */
        @Implementation
        @Suppress("UNUSED_PARAMETER")
        protected fun setDataSource(source: MediaDataSource): Unit =
            throw RuntimeException("setDataSource failed: status = 0x80000000")
    }

    @Test
    @Config(shadows = [Refusing::class])
    fun `a HEIF file whose metadata Android cannot read is taken as it is stored`() {
        assertEquals(Orientation.UPRIGHT, Images.orientation(heif))
    }

    @Test
    fun `frames of a camera, within their crop`() {
        val frame = Frame(width = 8, height = 4)
        frame.cropRect = Rect(2, 0, 6, 4)
        val upright = Images.of(frame, 90)
        assertEquals(4, upright.uprightWidth)
        assertEquals(4, upright.uprightHeight)
        // Luma is the column's number; the left column is the upper row now.
        assertEquals(listOf<Byte>(2, 2, 2), Fixtures.rgb(upright).take(3))
        assertTrue("multiples of 90" in refused { Images.of(frame, 45) })
        assertEquals(
            "frame: found format 256, allowed: YUV_420_888 (35) and RGBA_8888 (1); pass the bytes of a JPEG to Images.decode",
            refused { Images.of(Frame(8, 4, ImageFormat.JPEG), 0) },
        )
    }

    @Test
    fun `frames of RGBA, whose rows are longer than they say`() {
        val frame = Frame(width = 4, height = 2, format = PixelFormat.RGBA_8888)
        frame.cropRect = Rect(1, 0, 4, 2)
        val upright = Images.of(frame, 180)
        assertEquals(3 to 2, upright.uprightWidth to upright.uprightHeight)
        assertEquals(listOf<Byte>(3, -128, -1, 2, -128, -1, 1, -128, -1), Fixtures.rgb(upright).take(9))
    }

    @Test
    fun `a frame that is closed, before the call or meanwhile`() {
        val message = "frame: is closed; close it after the call has returned"
        val frame = Frame(width = 8, height = 4)
        frame.close()
        assertEquals(message, refused { Images.of(frame, 0) })
        val open = Images.of(Frame(width = 8, height = 4), 0)
        val closed =
            object : PixelSource by open {
                // As Android's direct buffers do, once they are freed.
                override fun read(
                    left: Int,
                    top: Int,
                    width: Int,
                    height: Int,
                    into: IntArray,
                ): Unit = throw IllegalStateException("buffer is inaccessible")
            }
        assertEquals(message, refused { Fixtures.rgb(OpenPixels(closed)) })
        assertTrue(open is OpenPixels)
        assertTrue(Images.of(Frame(width = 8, height = 4, format = PixelFormat.RGBA_8888), 0) is OpenPixels)
    }

    @Test
    fun `a part of a photo, as one sees it`() {
        val whole = Images.decode(File(Fixtures.folder, "formats/turned6.png").inputStream())
        assertEquals(48 to 64, whole.uprightWidth to whole.uprightHeight)
        val part = whole.cropped(Rect(10, 20, 40, 64))
        assertEquals(30 to 44, part.uprightWidth to part.uprightHeight)
        val wanted =
            Fixtures
                .rgb(whole)
                .toList()
                .chunked(48 * 3)
                .drop(20)
                .map { it.subList(30, 120) }
        assertEquals(wanted, Fixtures.rgb(part).toList().chunked(90))
        val all = Fixtures.rgb(whole).toList()
        assertEquals(all, Fixtures.rgb(whole.cropped(Rect(0, 0, 48, 64))).toList())
        for (region in listOf(Rect(0, 0, 49, 64), Rect(-1, 0, 10, 10), Rect(5, 5, 5, 9), Rect(9, 9, 3, 3))) {
            assertEquals(
                "region: found ${region.toShortString()}, must be within 48 x 64 and not empty",
                refused { whole.cropped(region) },
            )
        }
    }

    @Test
    fun `bitmaps of every config give their colours`() {
        val wanted = listOf<Byte>(-1, 0, 0)
        // This Skia cannot make bitmaps of RGBA_1010102.
        for (config in Bitmap.Config.entries.filter { it.name !in setOf("HARDWARE", "ALPHA_8", "RGBA_1010102") }) {
            val bitmap = Bitmap.createBitmap(3, 2, config)
            bitmap.eraseColor(Color.RED)
            assertEquals("$config", wanted, Fixtures.rgb(Images.of(bitmap)).take(3))
        }
        val grey = Bitmap.createBitmap(3, 2, Bitmap.Config.ALPHA_8)
        grey.eraseColor(Color.argb(77, 0, 0, 0))
        assertEquals(listOf<Byte>(77, 77, 77), Fixtures.rgb(Images.of(grey)).take(3))
    }

    @Test
    @Config(sdk = [34])
    @GraphicsMode(GraphicsMode.Mode.LEGACY) // the native one knows no GPU
    fun `a bitmap in the memory of the GPU is copied`() {
        val bitmap = Bitmap.createBitmap(3, 2, Bitmap.Config.ARGB_8888)
        bitmap.eraseColor(Color.RED)
        val hardware = bitmap.copy(Bitmap.Config.HARDWARE, false)
        assertEquals(Bitmap.Config.HARDWARE, hardware.config)
        val image = Images.of(hardware)
        hardware.recycle()
        assertEquals(listOf<Byte>(-1, 0, 0), Fixtures.rgb(image).take(3))
    }

    @Test
    fun `a bitmap that is recycled, before the call or meanwhile`() {
        val bitmap = Bitmap.createBitmap(3, 2, Bitmap.Config.ARGB_8888)
        val image = Images.of(bitmap)
        bitmap.recycle()
        assertEquals("bitmap: is recycled; recycle it after the call has returned", refused { Fixtures.rgb(image) })
        assertEquals("bitmap: is recycled; recycle it after the call has returned", refused { Images.of(bitmap) })
    }

    @Test
    fun `a photo of 50 megapixels is sampled, and prepared like the whole`() {
        val file = File(Fixtures.folder, "large.jpg")
        val spec = PreprocessSpec(224, 224, 0.875, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        val input = TensorSpec("image", "image", listOf(1, 224, 224, 3), "uint8", "nhwc")
        val wanted = File("$file.rgb").readBytes()
        for ((maxPixels, size) in listOf(Images.MAX_PIXELS to (4080 to 3060), 1_000_000 to (1020 to 765))) {
            val image = file.inputStream().use { Images.decode(it, maxPixels) }
            assertEquals(size, image.uprightWidth to image.uprightHeight)
            val found = Preprocessor(spec, input).resized(image)
            val worst = wanted.indices.maxOf { abs((wanted[it].toInt() and 0xff) - (found[it].toInt() and 0xff)) }
            assertTrue("$maxPixels: differs by $worst", worst <= 3)
        }
    }

    @Test
    fun `an image has at most the pixels that are asked for, and a smaller one all of its own`() {
        val file = File(Fixtures.folder, "formats/colour.webp")

        fun size(maxPixels: Int) =
            Images.decode(file.inputStream(), maxPixels).let { it.uprightWidth to it.uprightHeight }
        assertEquals(64 to 48, size(64 * 48))
        assertEquals(32 to 24, size(64 * 48 - 1))
        assertEquals(1 to 1, size(1))
        val none = assertThrows(IllegalArgumentException::class.java) { size(0) }
        assertEquals("maxPixels: found 0, must be 1 or more", none.message)
    }

    @Test
    @Config(sdk = [34, 35]) // before API 29, Android applies it
    fun `a colour profile is not applied`() {
        val space = ColorSpace.get(ColorSpace.Named.DISPLAY_P3)
        val wide = Bitmap.createBitmap(1, 1, Bitmap.Config.ARGB_8888, false, space)
        // As much blue as red, whose order in memory differs between Android and here.
        wide.copyPixelsFromBuffer(ByteBuffer.wrap(byteArrayOf(50, 100, 50, -1)))
        val file = ByteArrayOutputStream()
        wide.compress(Bitmap.CompressFormat.PNG, 100, file)
        assertTrue("iCCP" in String(file.toByteArray(), Charsets.ISO_8859_1))
        assertEquals(listOf<Byte>(50, 100, 50), Fixtures.rgb(Images.decode(file.toByteArray().inputStream())).toList())
    }

    @Test
    fun `a stream is read once and left open`() {
        val bytes = File(Fixtures.folder, "formats/turned6.webp").readBytes()
        val once =
            object : FilterInputStream(bytes.inputStream()) {
                override fun markSupported() = false

                override fun reset(): Unit = throw IOException("read twice")

                override fun close(): Unit = throw IOException("closed")
            }
        val image = Images.decode(once)
        assertEquals(48 to 64, image.uprightWidth to image.uprightHeight)
    }

    @Test
    fun `an image without pixels`() {
        val nothing =
            object : PixelSource {
                override val width = 0
                override val height = 7
                override val orientation = Orientation.UPRIGHT

                override fun read(
                    left: Int,
                    top: Int,
                    width: Int,
                    height: Int,
                    into: IntArray,
                ) = Unit
            }
        val spec = PreprocessSpec(2, 2, 1.0, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        val input = TensorSpec("image", "image", listOf(1, 2, 2, 3), "uint8", "nhwc")
        assertTrue("found 0 x 7 pixels" in refused { Preprocessor(spec, input).resized(nothing) })
    }

    @Test
    fun `files that are no images`() {
        assertTrue("not in a format" in refused { Images.decode("no image".byteInputStream()) })
        assertTrue("not in a format" in refused { Images.decode("".byteInputStream()) })
        val broken =
            object : InputStream() {
                override fun read(): Int = throw IOException("gone")
            }
        assertTrue("cannot be read: gone" in refused { Images.decode(broken) })
    }
}

/** Each column has its number as luma or red. A closed frame throws, as those of Android do. */
private class Frame(
    private val width: Int,
    private val height: Int,
    private val format: Int = ImageFormat.YUV_420_888,
) : Image() {
    init {
        mIsImageValid = true
    }

    private class Of(
        private val bytes: ByteArray,
        private val row: Int,
        private val pixel: Int,
    ) : Plane() {
        override fun getRowStride() = row

        override fun getPixelStride() = pixel

        override fun getBuffer(): ByteBuffer = ByteBuffer.wrap(bytes)
    }

    override fun getFormat() = open { format }

    override fun getWidth() = open { width }

    override fun getHeight() = open { height }

    override fun getTimestamp() = open { 0L }

    override fun getTransform() = open { 0 }

    override fun getScalingMode() = open { 0 }

    override fun getPlanes(): Array<Plane> =
        open {
            if (format == PixelFormat.RGBA_8888) {
                val row = width * 4 + 8
                val pixel = byteArrayOf(0, -128, -1, 7)
                arrayOf(
                    Of(
                        ByteArray(row * height) {
                            if (it % 4 ==
                                0
                            ) {
                                (it % row / 4).toByte()
                            } else {
                                pixel[it % 4]
                            }
                        },
                        row,
                        4,
                    ),
                )
            } else {
                val luma = Of(ByteArray(width * height) { (it % width).toByte() }, width, 1)
                val chroma = Of(ByteArray(width * height / 2) { -128 }, width, 2)
                arrayOf(luma, chroma, chroma)
            }
        }

    override fun close() {
        mIsImageValid = false
    }

    private fun <T> open(value: () -> T): T {
        throwISEIfImageIsInvalid()
        return value()
    }
}
