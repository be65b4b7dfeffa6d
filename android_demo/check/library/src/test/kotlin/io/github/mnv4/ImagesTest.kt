package io.github.mnv4

import android.app.Application
import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.ImageFormat
import android.graphics.Rect
import android.media.Image
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.PreprocessSpec
import io.github.mnv4.core.Preprocessor
import io.github.mnv4.core.TensorSpec
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import kotlin.math.abs

/** Images of the platform, through its own decoder and bitmaps. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ImagesTest {
    private fun refused(block: () -> Unit): String =
        assertThrows(Mnv4Exception.BadImage::class.java) { block() }.message!!

    private fun bytes(picture: PixelSource): ByteArray {
        val line = IntArray(picture.width)
        val found = ByteArray(picture.width * picture.height * 3)
        for (y in 0 until picture.height) {
            picture.readRow(y, line)
            for (x in 0 until picture.width) {
                for (c in 0..2) found[(y * picture.width + x) * 3 + c] = (line[x] shr (16 - 8 * c)).toByte()
            }
        }
        return found
    }

    @Test
    fun `every format as Python decodes it`() {
        val formats = Fixtures.json("formats.json")
        assertTrue(formats.length() >= 14)
        for (name in formats.keys()) {
            val case = formats.getJSONObject(name)
            val file = File(Fixtures.folder, "formats/$name")
            val picture = Images.decode(file.inputStream())
            assertEquals(name, case.getInt("width"), picture.width)
            assertEquals(name, case.getInt("height"), picture.height)
            val wanted = File("$file.rgb").readBytes()
            val found = bytes(picture)
            val worst = wanted.indices.maxOf { abs((wanted[it].toInt() and 0xff) - (found[it].toInt() and 0xff)) }
            assertTrue("$name differs by $worst", worst <= case.getInt("off"))
        }
    }

    @Test
    fun `frames of a camera, within their crop`() {
        val frame = Frame(width = 8, height = 4)
        frame.cropRect = Rect(2, 0, 6, 4)
        val upright = Images.of(frame, 90)
        assertEquals(4, upright.width)
        assertEquals(4, upright.height)
        // Luma is the column's number; the left column is the upper row now.
        assertEquals(listOf<Byte>(2, 2, 2), bytes(upright).take(3))
        assertTrue("multiples of 90" in refused { Images.of(frame, 45) })
        assertTrue("found format 256" in refused { Images.of(Frame(8, 4, ImageFormat.JPEG), 0) })
    }

    @Test
    fun `bitmaps of every kind give their colours`() {
        val red = Color.rgb(255, 0, 0)
        for (config in listOf(Bitmap.Config.ARGB_8888, Bitmap.Config.RGB_565, Bitmap.Config.RGBA_F16)) {
            val bitmap = Bitmap.createBitmap(3, 2, config)
            bitmap.eraseColor(red)
            assertEquals("$config", listOf<Byte>(-1, 0, 0), bytes(Images.of(bitmap)).take(3))
        }
    }

    @Test
    @GraphicsMode(GraphicsMode.Mode.LEGACY) // the native one knows no GPU
    fun `a bitmap in the memory of the GPU`() {
        val hardware = Bitmap.createBitmap(3, 2, Bitmap.Config.ARGB_8888).copy(Bitmap.Config.HARDWARE, false)
        assertEquals(Bitmap.Config.HARDWARE, hardware.config)
        assertTrue("ALLOCATOR_SOFTWARE" in refused { Images.of(hardware) })
    }

    @Test
    fun `a recycled bitmap`() {
        val bitmap = Bitmap.createBitmap(3, 2, Bitmap.Config.ARGB_8888)
        bitmap.recycle()
        assertTrue("recycled" in refused { Images.of(bitmap) })
    }

    @Test
    fun `an image without pixels`() {
        val nothing =
            object : PixelSource {
                override val width = 0
                override val height = 7

                override fun readRow(
                    y: Int,
                    into: IntArray,
                ) = Unit

                override fun readColumn(
                    x: Int,
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

/** Grey, each column as bright as its number. */
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

    override fun getFormat() = format

    override fun getWidth() = width

    override fun getHeight() = height

    override fun getTimestamp() = 0L

    override fun getTransform() = 0

    override fun getScalingMode() = 0

    override fun getPlanes(): Array<Plane> {
        val luma = Of(ByteArray(width * height) { (it % width).toByte() }, width, 1)
        val chroma = Of(ByteArray(width * height / 2) { -128 }, width, 2)
        return arrayOf(luma, chroma, chroma)
    }

    override fun close() = Unit
}
