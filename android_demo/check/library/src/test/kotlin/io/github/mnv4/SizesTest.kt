package io.github.mnv4

import android.app.Application
import com.google.ai.edge.litert.StandIn
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.InputSize
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.Orientation
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.Preprocessor
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import java.io.File
import java.nio.ByteBuffer
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/** Bundles that take several input sizes, in Android's own libraries of both runtimes. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class SizesTest {
    private val context = RuntimeEnvironment.getApplication()
    private val kinds = File(Fixtures.folder, "kinds").listFiles()!!.filter { "-96x96_64x96-" in it.name }
    private val tflite = kinds.single { it.name.endsWith("tflite") }
    private val default = InputSize(96, 96)
    private val other = InputSize(64, 96)

    @After
    fun reset() = StandIn.reset()

    private fun <T> with(
        folder: File,
        options: Options,
        block: (MobileNetV4) -> T,
    ): T = aside { MobileNetV4.open(context, folder, options) }.use(block)

    private fun refused(options: Options): String =
        assertThrows(Mnv4Exception.Unsupported::class.java) { with(tflite, options) {} }.message!!

    /** The floats of the first image of a golden tensor. */
    private fun first(
        all: ByteBuffer,
        count: Int,
    ) = FloatArray(count) { all.getFloat(it * Float.SIZE_BYTES) }

    @Test
    fun `a network runs at the size that it was opened at`() {
        assertEquals(listOf("executorch", "tflite"), kinds.map { it.name.substringAfterLast('-') }.sorted())
        for (folder in kinds) {
            for (size in listOf(null, default, other)) {
                val bundle = ModelBundle.open(FolderFiles(folder)).at(size)
                with(folder, Options(inputSize = size)) { model ->
                    assertEquals(listOf(default, other), model.manifest.inputSizes)
                    assertEquals(size ?: default, model.manifest.inputSize)
                    assertGolden(bundle, model)
                    assertTrue(model.selfCheck() > 100)
                }
            }
        }
    }

    private fun assertGolden(
        bundle: ModelBundle,
        model: MobileNetV4,
    ) {
        val (height, width) = model.manifest.inputSize
        val pixels = ByteArray(height * width * 3)
        bundle.golden("input").getValue("pixels").get(pixels)
        val wanted = bundle.golden("artifact")
        val found = model.runPixels(pixels)
        for ((name, values) in found.byName) {
            assertArrayEquals(name, first(wanted.getValue(name), values.size), values, 1e-4f)
        }
        val map = found.featureMaps.single()
        val sides = if (map.layout == "nchw") map.shape.drop(2) else map.shape.drop(1).take(2)
        assertEquals(listOf(height / STRIDE, width / STRIDE), sides)
        assertEquals(map.shape.reduce(Int::times), map.values.size)
    }

    @Test
    fun `images become inputs of that size`() {
        for (size in listOf(default, other)) {
            val manifest = ModelBundle.open(FolderFiles(tflite)).at(size).manifest
            val pixels = Preprocessor(manifest.preprocess, manifest.input).resized(Gradient)
            assertEquals(size.height * size.width * 3, pixels.size)
            with(tflite, Options(inputSize = size, warmUp = false)) { model ->
                val wanted = model.runPixels(pixels)["logits"]
                assertArrayEquals(wanted, model.runBlocking(Gradient)["logits"], 0f)
            }
        }
    }

    @Test
    fun `a size that the bundle does not take is refused by name`() {
        val id = tflite.name
        assertEquals(
            "$id: Options.inputSize: found 96x64, the bundle takes: 96x96, 64x96",
            refused(Options(inputSize = InputSize(96, 64))),
        )
        val single = Fixtures.bundle("conv-small-035-96x96-fp32-tflite")
        with(single, Options(inputSize = default)) {}
        val error =
            assertThrows(Mnv4Exception.Unsupported::class.java) { with(single, Options(inputSize = other)) {} }
        assertTrue(error.message, error.message!!.endsWith("found 64x96, the bundle takes: 96x96"))
    }

    @Test
    fun `the GPU and the NPU take the default alone`() {
        StandIn.available = LiteRtAccelerator.entries.toSet() - LiteRtAccelerator.NONE
        with(tflite, Options(accelerator = Accelerator.Gpu, inputSize = default)) { it.selfCheck() }
        for (unit in listOf(Accelerator.Gpu, Accelerator.Npu)) {
            assertEquals(
                "${tflite.name}: Options.inputSize: found 64x96, the ${unit.shown} takes: 96x96; run it on the CPU, " +
                    "or build a bundle whose default is 64x96",
                refused(Options(accelerator = unit, inputSize = other)),
            )
        }
    }

    @Test
    fun `the choice of a unit is remembered for each size`() {
        StandIn.available = LiteRtAccelerator.entries.toSet() - LiteRtAccelerator.NONE
        StandIn.failure = "device lost"

        fun opened(size: InputSize?) =
            with(tflite, Options(accelerator = Accelerator.Auto, inputSize = size)) { model ->
                assertEquals(Accelerator.Cpu, model.choice.unit)
                model.choice.remembered to model.choice.findings[1].text
            }
        assertTrue(opened(other).let { (remembered, text) -> !remembered && "the GPU takes: 96x96" in text })
        assertTrue(opened(null).let { (remembered, text) -> !remembered && "device lost" in text })
        assertEquals(listOf(true, true), listOf(opened(other).first, opened(default).first))
    }

    private object Gradient : PixelSource {
        override val width = 200
        override val height = 120
        override val orientation = Orientation.UPRIGHT

        override fun read(
            left: Int,
            top: Int,
            width: Int,
            height: Int,
            into: IntArray,
        ) {
            for (y in 0 until height) {
                for (x in 0 until width) into[y * width + x] = (left + x shl 16) or (top + y shl 8)
            }
        }
    }

    private companion object {
        /** The stride of `stage_2`. */
        const val STRIDE = 16
    }
}
