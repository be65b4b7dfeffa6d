package io.github.mnv4

import android.app.Application
import android.graphics.ImageFormat
import android.graphics.Rect
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.Fixtures.objects
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import kotlin.math.abs

/** Real JPEGs through Android's decoder, this library and the real LiteRT, beside `mnv4 predict`. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 34, 35], application = Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ClassifyTest {
    @Test
    fun `the same classes and probabilities as Python`() {
        val expected = Fixtures.json("expected.json")
        val rows = JSONArray()
        for (name in expected.keys()) {
            aside { MobileNetV4.open(Fixtures.context, Fixtures.bundle(name)) }.use { model ->
                for (case in expected.getJSONArray(name).objects()) rows.put(compared(model, case))
            }
        }
        assertTrue(rows.length() >= 20)
        File(Fixtures.folder, "classified.json").writeText(rows.toString(1))
    }

    private fun compared(
        model: MobileNetV4,
        case: JSONObject,
    ): JSONObject {
        val path = case.getString("picture")
        val found = model.runBlocking(Images.decode(File(Fixtures.folder, path).inputStream())).top(5)
        val wanted = case.getJSONArray("top").objects()
        val about = "${model.manifest.id} $path"
        assertEquals(about, wanted.map { it.getInt("index") }, found.map { it.index })
        assertEquals(about, wanted.map { it.getString("label") }, found.map { it.label })
        val worst = found.indices.maxOf { abs(found[it].probability - wanted[it].getDouble("probability")) }
        assertEquals(about, 0.0, worst, 1e-3)
        return JSONObject()
            .put("bundle", model.manifest.id)
            .put("picture", path.substringAfterLast('/'))
            .put("python", wanted[0].getString("label"))
            .put("kotlin", found[0].label)
            .put("difference", worst)
    }

    @Test
    fun `a camera's frames need nothing new but their results`() {
        val bytes = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        val width = 640
        val height = 480
        val luma = YuvFrame.plane(width * height, width, 1)
        val chroma = YuvFrame.plane(width * height / 2, width, 2)
        val planes = listOf(luma, chroma, chroma)
        val frame = CameraFrame(ImageFormat.YUV_420_888, planes, Rect(0, 0, width, height), 90)
        aside { MobileNetV4.open(Fixtures.context, Fixtures.bundle("conv-small-035-96x96-fp32-tflite")) }.use { model ->
            fun classify() = model.runBlocking(framePixels { frame }).top(3)
            repeat(3) { classify() }
            val before = bytes.currentThreadAllocatedBytes
            val frames = 10
            repeat(frames) { assertEquals(3, classify().size) }
            val each = (bytes.currentThreadAllocatedBytes - before) / frames
            // A buffer of the input alone has 110,592.
            assertTrue("$each bytes a frame", each < 8192)
        }
    }

    private object YuvFrame {
        fun plane(
            size: Int,
            rowStride: Int,
            pixelStride: Int,
        ) = io.github.mnv4.core.FramePlane(
            ByteBuffer.wrap(ByteArray(size) { (it * 31 % 251).toByte() }),
            rowStride,
            pixelStride,
        )
    }
}
