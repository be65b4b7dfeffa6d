package io.github.mnv4.core

import io.github.mnv4.Fixtures
import io.github.mnv4.Fixtures.doubles
import io.github.mnv4.Fixtures.objects
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
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
    ) : PixelSource {
        private fun at(
            x: Int,
            y: Int,
        ): Int = (0..2).fold(0) { pixel, c -> (pixel shl 8) or (rgb[3 * (y * width + x) + c].toInt() and 0xff) }

        override fun readRow(
            y: Int,
            into: IntArray,
        ) = (0 until width).forEach { into[it] = at(it, y) }

        override fun readColumn(
            x: Int,
            into: IntArray,
        ) = (0 until height).forEach { into[it] = at(x, it) }
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
                // Another platform's sine may move a value by one.
                assertEquals(about, wanted.size, found.size)
                assertTrue(
                    about,
                    wanted.indices.all {
                        Math.abs(
                            (wanted[it].toInt() and 0xff) - (found[it].toInt() and 0xff),
                        ) <=
                            1
                    },
                )
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
    fun `statistics of latencies`() {
        val golden = JSONObject(File(Fixtures.golden, "statistics.json").readText())
        for (case in golden.getJSONArray("cases").objects()) {
            val name = case.getString("name")
            val wanted = case.getJSONObject("expected")
            val found = Statistics.of(case.getJSONArray("latencies_ms").doubles())!!

            fun same(
                key: String,
                value: Double,
            ) = assertEquals("$name: $key", wanted.getDouble(key), value, 1e-9 * Math.abs(wanted.getDouble(key)))
            for (percent in listOf(50, 90, 95)) same("p$percent", found.percentile(percent.toDouble()))
            same("mean", found.mean)
            same("min", found.min)
            same("max", found.max)
            if (wanted.isNull("cv")) assertNull(name, found.variation) else same("cv", found.variation!!)
        }
        assertNull(Statistics.of(DoubleArray(0)))
    }
}
