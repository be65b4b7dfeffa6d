package io.github.mnv4.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import java.nio.ByteBuffer

class PixelsTest {
    /** Two rows of three pixels: 0 1 2 / 3 4 5. */
    private val picture =
        object : PixelSource {
            override val width = 3
            override val height = 2

            override fun readRow(
                y: Int,
                into: IntArray,
            ) = (0 until 3).forEach { into[it] = 3 * y + it }

            override fun readColumn(
                x: Int,
                into: IntArray,
            ) = (0 until 2).forEach { into[it] = 3 * it + x }
        }

    private fun rows(source: PixelSource): List<List<Int>> {
        val line = IntArray(maxOf(source.width, source.height))
        return (0 until source.height).map { y ->
            source.readRow(y, line)
            line.take(source.width)
        }
    }

    private fun columns(source: PixelSource): List<List<Int>> {
        val line = IntArray(maxOf(source.width, source.height))
        val found =
            (0 until source.width).map { x ->
                source.readColumn(x, line)
                line.take(source.height)
            }
        return (0 until source.height).map { y -> found.map { it[y] } }
    }

    @Test
    fun `every orientation of EXIF, by rows and by columns`() {
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
            val turned = TurnedPixels(picture, Orientation.ofExif(exif))
            assertEquals("rows of $exif", wanted, rows(turned))
            assertEquals("columns of $exif", wanted, columns(turned))
        }
        assertEquals(Orientation.UPRIGHT, Orientation.ofExif(9))
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
        val grey = YuvPixels(YuvPlane(y, 6, 1), YuvPlane(u, 4, 2), YuvPlane(v, 4, 2), 1, 0, 3, 2)
        assertEquals(listOf(listOf(0x323232, 0x646464, 0xffffff), listOf(0x323232, 0x646464, 0xffffff)), rows(grey))
        assertEquals(rows(grey), columns(grey))

        // BT.601 over the full range: pure red is (76, 85, 255), pure blue (29, 255, 107).
        fun one(
            luma: Int,
            blue: Int,
            red: Int,
        ): Int {
            fun plane(value: Int) = YuvPlane(ByteBuffer.wrap(byteArrayOf(value.toByte())), 1, 1)
            return rows(YuvPixels(plane(luma), plane(blue), plane(red), 0, 0, 1, 1)).single().single()
        }
        assertEquals(0xfe0000, one(76, 85, 255))
        assertEquals(0x0000fe, one(29, 255, 107))
    }

    @Test
    fun `a size that needs no filter is copied`() {
        val spec = PreprocessSpec(2, 2, 1.0, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        val input = TensorSpec("image", "image", listOf(1, 2, 2, 3), "uint8", "nhwc")
        val found = Preprocessor(spec, input).resized(picture)
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
