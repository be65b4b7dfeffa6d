package io.github.mnv4.core

import io.github.mnv4.Fixtures
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import java.nio.ByteBuffer
import java.util.Random

class PixelsTest {
    /** Two rows of three pixels: 0 1 2 / 3 4 5. */
    private class Numbers(
        override val orientation: Orientation,
    ) : PixelSource {
        override val width = 3
        override val height = 2

        override fun read(
            left: Int,
            top: Int,
            width: Int,
            height: Int,
            into: IntArray,
        ) = (0 until width * height).forEach { into[it] = 3 * (top + it / width) + left + it % width }
    }

    private fun rows(image: PixelSource): List<List<Int>> =
        Fixtures
            .rgb(image)
            .map { it.toInt() and 0xff }
            .chunked(3) { (r, g, b) -> (r shl 16) or (g shl 8) or b }
            .chunked(image.uprightWidth)

    @Test
    fun `every orientation of EXIF`() {
        val upright =
            mapOf(
                1 to listOf(listOf(0, 1, 2), listOf(3, 4, 5)),
                2 to listOf(listOf(2, 1, 0), listOf(5, 4, 3)),
                3 to listOf(listOf(5, 4, 3), listOf(2, 1, 0)),
                4 to listOf(listOf(3, 4, 5), listOf(0, 1, 2)),
                5 to listOf(listOf(0, 3), listOf(1, 4), listOf(2, 5)),
                6 to listOf(listOf(3, 0), listOf(4, 1), listOf(5, 2)),
                7 to listOf(listOf(5, 2), listOf(4, 1), listOf(3, 0)),
                8 to listOf(listOf(2, 5), listOf(1, 4), listOf(0, 3)),
            )
        for ((exif, wanted) in upright) {
            assertEquals("$exif", wanted, rows(Numbers(Orientation.ofExif(exif))))
        }
        assertEquals(Orientation.UPRIGHT, Orientation.ofExif(9))
    }

    @Test
    fun `a part of an image in every orientation`() {
        for (orientation in Orientation.entries) {
            val image = Numbers(orientation)
            val whole = rows(image)
            for (top in 0 until image.uprightHeight) {
                for (left in 0 until image.uprightWidth) {
                    val (width, height) = image.uprightWidth - left to image.uprightHeight - top
                    val part = CroppedPixels.upright(image, left, top, width, height)
                    val wanted = whole.drop(top).map { it.drop(left) }
                    assertEquals("$orientation from $left, $top", wanted, rows(part))
                    val first = CroppedPixels.upright(part, 0, 0, 1, 1)
                    assertEquals("$orientation at $left, $top", listOf(wanted[0].take(1)), rows(first))
                }
            }
        }
    }

    /** An image of random pixels, stored so that [orientation] turns it upright. */
    private class Turned(
        private val upright: IntArray,
        private val columns: Int,
        override val orientation: Orientation,
    ) : PixelSource {
        override val width = if (orientation.transposed) upright.size / columns else columns
        override val height = upright.size / width

        override fun read(
            left: Int,
            top: Int,
            width: Int,
            height: Int,
            into: IntArray,
        ) = (0 until width * height).forEach {
            val x = (left + it % width).let { x -> if (orientation.fromRight) this.width - 1 - x else x }
            val y = (top + it / width).let { y -> if (orientation.fromBottom) this.height - 1 - y else y }
            into[it] = upright[if (orientation.transposed) x * columns + y else y * columns + x]
        }
    }

    @Test
    fun `a turned image is resized to the bytes of the upright one`() {
        val random = Random(0)
        for (interpolation in listOf("nearest", "bilinear", "bicubic", "lanczos")) {
            for ((columns, rows) in listOf(151 to 290, 290 to 151, 7 to 5)) {
                val pixels = IntArray(columns * rows) { random.nextInt() }
                val spec = PreprocessSpec(40, 31, 0.9, interpolation, listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
                val input = TensorSpec("image", "image", listOf(1, 40, 31, 3), "uint8", "nhwc")
                val wanted = Preprocessor(spec, input).resized(Turned(pixels, columns, Orientation.UPRIGHT))
                for (orientation in Orientation.entries) {
                    val found = Preprocessor(spec, input).resized(Turned(pixels, columns, orientation))
                    assertArrayEquals("$interpolation $columns x $rows $orientation", wanted, found)
                }
            }
        }
    }

    @Test
    fun `one preprocessor for images of different sizes and orientations`() {
        val spec = PreprocessSpec(2, 2, 1.0, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        val input = TensorSpec("image", "image", listOf(1, 2, 2, 3), "uint8", "nhwc")
        val preprocessor = Preprocessor(spec, input)
        for (image in Orientation.entries.map(::Numbers) + Turned(IntArray(20) { it * 999 }, 4, Orientation.UPRIGHT)) {
            val wanted = Preprocessor(spec, input).resized(image)
            assertArrayEquals(wanted, preprocessor.resized(image))
            assertArrayEquals(wanted, preprocessor.resized(image))
        }
    }

    @Test
    fun `rotations of a camera`() {
        assertEquals(Orientation.TURNED_90, Orientation.ofDegrees(90))
        assertEquals(Orientation.TURNED_270, Orientation.ofDegrees(-90))
        assertThrows(Mnv4Exception.BadImage::class.java) { Orientation.ofDegrees(45) }
    }

    @Test
    fun `grey, red and blue of a frame, with strides and a crop`() {
        // 4 x 2 luma in rows of 6 bytes; chroma two bytes apart, as phones interleave it.
        val y = ByteBuffer.wrap(byteArrayOf(0, 50, 100, -1, 9, 9, 0, 50, 100, -1, 9, 9))
        val u = ByteBuffer.wrap(byteArrayOf(-128, 0, -128, 0))
        val v = ByteBuffer.wrap(byteArrayOf(-128, 0, -128, 0))
        val grey =
            YuvPixels(FramePlane(y, 6, 1), FramePlane(u, 4, 2), FramePlane(v, 4, 2), 1, 0, 3, 2, Orientation.UPRIGHT)
        assertEquals(listOf(listOf(0x323232, 0x646464, 0xffffff), listOf(0x323232, 0x646464, 0xffffff)), rows(grey))

        // BT.601 over the full range: pure red is (76, 85, 255), pure blue (29, 255, 107).
        fun one(
            luma: Int,
            blue: Int,
            red: Int,
        ): Int {
            fun plane(value: Int) = FramePlane(ByteBuffer.wrap(byteArrayOf(value.toByte())), 1, 1)
            val frame = YuvPixels(plane(luma), plane(blue), plane(red), 0, 0, 1, 1, Orientation.UPRIGHT)
            return rows(frame).single().single()
        }
        assertEquals(0xfe0000, one(76, 85, 255))
        assertEquals(0x0000fe, one(29, 255, 107))
    }

    @Test
    fun `a size that needs no filter is copied`() {
        val spec = PreprocessSpec(2, 2, 1.0, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        val input = TensorSpec("image", "image", listOf(1, 2, 2, 3), "uint8", "nhwc")
        val found = Preprocessor(spec, input).resized(Numbers(Orientation.UPRIGHT))
        // The crop of three columns to two begins at rint(0.5) = 0.
        assertArrayEquals(byteArrayOf(0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4), found)
    }

    @Test
    fun `an input that cannot be filled`() {
        val spec = PreprocessSpec(2, 2, 1.0, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        for (input in listOf(
            TensorSpec("image", "image", listOf(1, 2, 2, 3), "float16", "nhwc"),
            TensorSpec("image", "image", listOf(2, 2, 2, 3), "float32", "nhwc"),
        )) {
            assertThrows(Mnv4Exception.BadBundle::class.java) { Preprocessor(spec, input) }
        }
    }
}
