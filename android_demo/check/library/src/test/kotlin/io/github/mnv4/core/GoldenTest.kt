package io.github.mnv4.core

import io.github.mnv4.Fixtures
import io.github.mnv4.Fixtures.floats
import io.github.mnv4.Fixtures.integers
import io.github.mnv4.Fixtures.objects
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64

/** The golden cases that all languages share. */
class GoldenTest {
    private fun cases(name: String) = JSONArray(File(Fixtures.golden, name).readText()).objects()

    private fun JSONObject.bytes(key: String): ByteArray = Base64.getDecoder().decode(getString(key))

    private class Rgb(
        override val width: Int,
        override val height: Int,
        private val rgb: ByteArray,
        override val orientation: Orientation = Orientation.UPRIGHT,
    ) : PixelSource {
        private fun at(
            x: Int,
            y: Int,
        ): Int = (0..2).fold(0) { pixel, c -> (pixel shl 8) or (rgb[3 * (y * width + x) + c].toInt() and 0xff) }

        override fun read(
            left: Int,
            top: Int,
            width: Int,
            height: Int,
            into: IntArray,
        ) = (0 until width * height).forEach { into[it] = at(left + it % width, top + it / width) }
    }

    private fun input(
        case: JSONObject,
        dtype: String,
        layout: String,
    ): Pair<PreprocessSpec, TensorSpec> {
        val (height, width) = case.getJSONArray("size").integers()
        val spec =
            PreprocessSpec(
                height,
                width,
                case.optDouble("crop", 1.0),
                case.optString("interpolation", "bilinear"),
                case.optJSONArray("mean")?.floats() ?: listOf(0f, 0f, 0f),
                case.optJSONArray("std")?.floats() ?: listOf(1f, 1f, 1f),
            )
        val shape = if (layout == "nchw") listOf(1, 3, height, width) else listOf(1, height, width, 3)
        return spec to TensorSpec("image", "image", shape, dtype, layout)
    }

    @Test
    fun `resizing and cropping, bit for bit`() {
        val cases = cases("preprocess.json")
        assertTrue(cases.size >= 20)
        for ((i, case) in cases.withIndex()) {
            val picture = Rgb(case.getInt("width"), case.getInt("height"), case.bytes("rgb"))
            val (spec, input) = input(case, "uint8", "nhwc")
            val found = Preprocessor(spec, input).resized(picture)
            val wanted = case.bytes("pixels")
            val about = "case $i: ${case.getString("interpolation")} ${case.getJSONArray("size")}"
            if (case.getString("interpolation") == "lanczos") {
                assertClose(about, wanted, found) // another platform's sine may move a value by one
            } else {
                assertArrayEquals(about, wanted, found)
            }
        }
    }

    @Test
    fun `normalising, bit for bit`() {
        for (case in cases("normalise.json")) {
            val (spec, input) = input(case, "float32", "nchw")
            val into = ByteBuffer.allocateDirect(input.bytes).order(ByteOrder.nativeOrder())
            Preprocessor(spec, input).feed(case.bytes("pixels"), into)
            val wanted = ByteBuffer.wrap(case.bytes("normalised")).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            val found = into.asFloatBuffer()
            assertEquals(wanted.limit(), found.limit())
            for (i in 0 until wanted.limit()) assertEquals("$i", wanted[i], found[i], 0f)
        }
    }

    @Test
    fun `inputs of integers, bit for bit`() {
        val cases = cases("quantise.json")
        assertTrue(cases.any { !it.isNull("quantization") })
        for (case in cases) {
            val dtype = case.getString("dtype")
            val layout = case.getString("layout")
            val (spec, plain) = input(case, dtype, layout)
            val grid =
                case.optJSONObject("quantization")?.let {
                    Quantization(it.getDouble("scale").toFloat(), it.getInt("zero_point"))
                }
            val input = TensorSpec(plain.name, plain.kind, plain.shape, dtype, layout, grid)
            val into = ByteBuffer.allocate(input.bytes)
            Preprocessor(spec, input).feed(case.bytes("pixels"), into)
            assertArrayEquals("$dtype $layout $grid", case.bytes("input"), into.array())
        }
    }

    @Test
    fun `turned upright, bit for bit`() {
        val cases = cases("orientation.json")
        assertEquals(Orientation.entries.size, cases.size)
        for (case in cases) {
            val orientation = Orientation.ofExif(case.getInt("orientation"))
            val image = Rgb(case.getInt("width"), case.getInt("height"), case.bytes("rgb"), orientation)
            assertArrayEquals("$orientation", case.bytes("upright"), Fixtures.rgb(image))
        }
    }

    @Test
    fun `frames of a camera, within one`() {
        val cases = cases("frame.json")
        assertTrue(cases.size >= 4)
        for ((i, case) in cases.withIndex()) {
            val (y, u, v) = listOf("y", "u", "v").map { plane(case.getJSONObject(it)) }
            val (left, top, width, height) = case.getJSONArray("crop").integers()
            val orientation = Orientation.ofDegrees(case.getInt("degrees"))
            val frame = YuvPixels(y, u, v, left, top, width, height, orientation)
            assertEquals("case $i", case.getInt("width"), frame.uprightWidth)
            assertEquals("case $i", case.getInt("height"), frame.uprightHeight)
            assertClose("case $i", case.bytes("upright"), Fixtures.rgb(frame))
        }
    }

    private fun plane(json: JSONObject) =
        FramePlane(ByteBuffer.wrap(json.bytes("data")), json.getInt("row_stride"), json.getInt("pixel_stride"))

    private fun assertClose(
        about: String,
        wanted: ByteArray,
        found: ByteArray,
    ) {
        assertEquals(about, wanted.size, found.size)
        val worst = wanted.indices.maxOf { Math.abs((wanted[it].toInt() and 0xff) - (found[it].toInt() and 0xff)) }
        assertTrue("$about: differs by $worst", worst <= 1)
    }
}
