package io.github.mnv4

import android.app.Application
import android.os.Build
import com.google.ai.edge.litert.StandIn
import io.github.mnv4.core.Classification
import io.github.mnv4.core.InputSize
import io.github.mnv4.core.ModelBundle
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.util.ReflectionHelpers
import java.util.concurrent.CompletableFuture
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator
import io.github.mnv4.models.main.Mnv4Models as Main
import io.github.mnv4.models.shop.Mnv4Models as Shop

/** The two models modules of tools/android.py, whose assets are merged as an app's are. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class GeneratedTest {
    private val context = RuntimeEnvironment.getApplication()

    private val compiled =
        mapOf(
            "SM8650" to Main.CONV_SMALL_035_96X96_FP32_SM8650_SNAPDRAGON,
            "SM8750" to Main.CONV_SMALL_035_96X96_FP32_SM8750_SNAPDRAGON,
        )

    private val sized = Main.CONV_SMALL_035_96X96_64X96_FP32_LOGITS_STAGE_2_TFLITE

    private fun bundle(model: Mnv4Model): ModelBundle = ModelBundle.open(AssetFiles(context, model))

    @Test
    fun `every model is in the assets, undamaged, with one golden pair`() {
        val models = Main.ALL + Shop.ALL
        val folders =
            context.assets
                .list(MobileNetV4.ASSETS)
                .orEmpty()
                .map { it.substringBefore('/') }
        assertEquals(models.map { it.folder }.toSet(), folders.toSet())
        for (model in models) {
            val bundle = bundle(model)
            bundle.checkArtifact()
            val (height, width) = bundle.manifest.preprocess.let { it.height to it.width }
            assertEquals(height * width * 3, bundle.golden("input").getValue("pixels").limit())
            val eager = bundle.golden("eager")
            for (output in bundle.manifest.outputs) {
                assertEquals(output.size * Float.SIZE_BYTES, eager.getValue(output.name).limit())
            }
        }
    }

    /** Runs a network on a thread on which networks may be opened. */
    private fun <T> with(
        model: Mnv4Model,
        options: Options = Options(),
        block: (MobileNetV4) -> T,
    ): T = CompletableFuture.supplyAsync { MobileNetV4.open(context, model, options).use(block) }.get()

    private fun top(model: Mnv4Model): Classification {
        val pixels = bundle(model).golden("input").getValue("pixels").array()
        return with(model) { it.runPixels(pixels) }.top(1).single()
    }

    @Test
    fun `every model checks itself on the pair that it has`() {
        for (model in Main.ALL + Shop.ALL - compiled.values) {
            val ratio = with(model) { it.selfCheck() }
            assertTrue("${model.folder}: $ratio dB", ratio > 100)
        }
    }

    @Test
    fun `the program for this SoC is picked, and else the plain artifact`() {
        StandIn.available = LiteRtAccelerator.entries.toSet()
        val plain = Main.CONV_SMALL_035_96X96_FP32_TFLITE
        try {
            for ((soc, picked) in compiled + ("Tensor G5" to plain)) {
                ReflectionHelpers.setStaticField(Build::class.java, "SOC_MODEL", soc)
                for (unit in Accelerator.entries) {
                    val wanted = if (unit == Accelerator.Npu) picked else plain
                    val found = with(plain, Options(accelerator = unit)) { it.manifest.artifactSha256 to it.choice }
                    if (unit != Accelerator.Auto) assertEquals(bundle(wanted).manifest.artifactSha256, found.first)
                    assertFalse(found.second.remembered) // not from another SoC
                }
                assertTrue(with(plain, Options(accelerator = Accelerator.Auto)) { it.choice.remembered })
            }
        } finally {
            ReflectionHelpers.setStaticField(Build::class.java, "SOC_MODEL", Build.UNKNOWN)
            StandIn.reset()
        }
    }

    @Test
    fun `a network checks itself at each of its input sizes`() {
        val sizes = bundle(sized).manifest.inputSizes
        assertEquals(listOf(InputSize(96, 96), InputSize(64, 96)), sizes)
        for (size in sizes) {
            val ratio = with(sized, Options(inputSize = size)) { it.selfCheck() }
            assertTrue("$size: $ratio dB", ratio > 100)
        }
    }

    @Test
    fun `at another size than the default, no unit runs a program for this SoC`() {
        StandIn.available = LiteRtAccelerator.entries.toSet()
        ReflectionHelpers.setStaticField(Build::class.java, "SOC_MODEL", "SM8750")
        try {
            val options = Options(accelerator = Accelerator.Auto, inputSize = InputSize(64, 96))
            val choice = with(sized.copy(compiled = compiled.mapValues { it.value.folder }), options) { it.choice }
            assertEquals(Accelerator.Cpu, choice.unit)
            val npu = choice.findings.last().text
            assertTrue(npu, "the NPU takes: 96x96" in npu)
        } finally {
            ReflectionHelpers.setStaticField(Build::class.java, "SOC_MODEL", Build.UNKNOWN)
            StandIn.reset()
        }
    }

    @Test
    fun `two classifiers of one architecture run in one app`() {
        val (digits, shop) = Main.CONV_SMALL_035_96X96_FP32_TFLITE to Shop.CONV_SMALL_035_96X96_FP32_TFLITE
        assertEquals(bundle(digits).manifest.id, bundle(shop).manifest.id)
        val (digit, thing) = top(digits) to top(shop)
        assertEquals("thing ${digit.index}", thing.label)
        assertNotEquals(digit.label, thing.label)
        val other = top(Main.CONV_SMALL_035_96X96_FP32_EXECUTORCH)
        assertEquals(digit.label, other.label)
    }
}
