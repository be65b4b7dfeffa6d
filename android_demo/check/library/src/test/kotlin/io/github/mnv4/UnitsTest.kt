package io.github.mnv4

import android.app.Application
import android.os.Build
import com.google.ai.edge.litert.CompiledModel.GpuOptions.Precision
import com.google.ai.edge.litert.StandIn
import io.github.mnv4.Accelerator.Auto
import io.github.mnv4.Accelerator.Cpu
import io.github.mnv4.Accelerator.Gpu
import io.github.mnv4.Accelerator.Npu
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.core.Mnv4Exception
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.util.ReflectionHelpers
import java.io.File
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/** Units other than the CPU: a stand-in for LiteRT's accelerators computes what they would. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class UnitsTest {
    private val context = RuntimeEnvironment.getApplication()
    private val fp32 = Fixtures.bundle("conv-small-035-96x96-fp32-tflite")
    private val npu = File(Fixtures.folder, "npu/conv-small-035-96x96-fp32-SM8750-snapdragon")
    private val pixels = ByteArray(96 * 96 * 3) { (it % 251).toByte() }

    @Before
    fun everything() {
        StandIn.reset()
        StandIn.available = LiteRtAccelerator.entries.toSet() - LiteRtAccelerator.NONE
        soc("SM8750")
    }

    @After
    fun nothingStaysOpen() {
        soc(Build.UNKNOWN)
        assertEquals(0, StandIn.open)
    }

    private fun soc(model: String) {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            ReflectionHelpers.setStaticField(Build::class.java, "SOC_MODEL", model)
        }
    }

    private fun <T> with(
        folder: File,
        accelerator: Accelerator,
        block: (MobileNetV4) -> T,
    ): T = aside { MobileNetV4.open(context, folder, Options(accelerator = accelerator)) }.use(block)

    private inline fun <reified E : Mnv4Exception> refused(
        folder: File,
        accelerator: Accelerator,
        vararg parts: String,
    ) {
        val error = assertThrows(E::class.java) { with(folder, accelerator) {} }
        for (part in parts) assertTrue(error.message, part in error.message!!)
    }

    @Test
    fun `the GPU gets inputs of every kind, and its outputs are read`() {
        for (folder in File(Fixtures.folder, "kinds").listFiles()!!.filter { it.name.endsWith("tflite") }) {
            val wanted = with(folder, Cpu) { it.runPixels(pixels).byName }
            with(folder, Gpu) { model ->
                assertEquals(Gpu, model.choice.unit)
                assertEquals("runs on the GPU", "${model.choice}")
                for ((name, values) in model.runPixels(pixels).byName) {
                    assertArrayEquals(folder.name, wanted.getValue(name), values, 0.1f)
                }
                model.selfCheck()
            }
        }
    }

    @Test
    fun `LiteRT may not add the CPU, and computes in float32 what float16 cannot`() {
        with(fp32, Gpu) { it.runPixels(pixels) }
        with(File(Fixtures.folder, "kinds/conv-small-035-96x96-fp16-tflite"), Gpu) {}
        with(npu, Npu) {}
        assertEquals(listOf("GPU", "GPU", "NPU"), StandIn.created.map { it.accelerators.first().name })
        assertTrue(StandIn.created.none { LiteRtAccelerator.CPU in it.accelerators })
        assertEquals(listOf(Precision.FP32, null, null), StandIn.created.map { it.gpuOptions?.precision })
    }

    @Test
    fun `every network has a thread of its own`() {
        with(fp32, Gpu) { model -> repeat(2) { aside { model.runPixels(pixels) } } }
        assertEquals(1, StandIn.threads.size)
    }

    @Test
    fun `a unit that takes a part of the network is refused`() {
        StandIn.takesAll = false
        refused<Mnv4Exception.RuntimeFailed>(
            fp32,
            Gpu,
            "LiteRT cannot load it on the GPU: Some ops are not accelerated",
        )
        refused<Mnv4Exception.RuntimeFailed>(npu, Npu, "LiteRT cannot load it on the NPU: Some ops are not accelerated")
    }

    @Test
    fun `a unit that is not there is named, with what to add`() {
        StandIn.available = setOf(LiteRtAccelerator.CPU)
        refused<Mnv4Exception.Unsupported>(fp32, Gpu, "no GPU here, only CPU", "litert-gpu:2.3.0")
        refused<Mnv4Exception.Unsupported>(fp32, Npu, "no NPU here, only CPU", "dispatch library")
    }

    @Test
    fun `a run that fails names the unit`() {
        with(fp32, Gpu) { model ->
            StandIn.failure = "device lost"
            val error = assertThrows(Mnv4Exception.RuntimeFailed::class.java) { model.runPixels(pixels) }
            assertTrue(error.message, "LiteRT cannot run it on the GPU: device lost" in error.message!!)
        }
        refused<Mnv4Exception.RuntimeFailed>(fp32, Gpu, "device lost") // the warm-up
    }

    @Test
    fun `units that a target does not have are refused by name`() {
        val executorch = Fixtures.bundle("conv-small-035-96x96-fp32-executorch")
        refused<Mnv4Exception.Unsupported>(executorch, Gpu, "found Gpu, artifacts for executorch run on: Cpu")
        refused<Mnv4Exception.Unsupported>(npu, Cpu, "found Cpu, artifacts for snapdragon run on: Npu")
        with(executorch, Auto) { model ->
            assertEquals(Cpu, model.choice.unit)
            assertEquals(
                listOf(Verdict.Fastest, Verdict.Failed, Verdict.Failed),
                model.choice.findings.map { it.verdict },
            )
        }
    }

    @Test
    fun `a program for another SoC is refused`() {
        with(npu, Npu) { assertEquals(Npu, it.choice.unit) }
        soc("SM8650")
        refused<Mnv4Exception.Unsupported>(npu, Npu, "is compiled for the SoC SM8750, found SM8650")
    }

    @Test
    @Config(sdk = [26])
    fun `before Android 12, no SoC has a name`() {
        refused<Mnv4Exception.Unsupported>(
            npu,
            Npu,
            "is compiled for the SoC SM8750, found one that Android does not name",
        )
    }

    @Test
    fun `the choice is remembered for the device, the system and the app`() {
        StandIn.failure = "device lost"

        fun remembered() =
            with(fp32, Auto) { model ->
                assertEquals("$model", Cpu, model.choice.unit)
                model.choice.remembered
            }
        assertEquals(listOf(false, true), List(2) { remembered() })
        for (field in listOf("MODEL", "MANUFACTURER", "FINGERPRINT")) {
            val before = ReflectionHelpers.getStaticField<String>(Build::class.java, field)
            ReflectionHelpers.setStaticField(Build::class.java, field, "$before 2")
            assertEquals(field, listOf(false, true), List(2) { remembered() })
            ReflectionHelpers.setStaticField(Build::class.java, field, before)
        }
        assertEquals(listOf(false, true), List(2) { remembered() })
        shadowOf(context.packageManager).getInternalMutablePackageInfo(context.packageName).lastUpdateTime += 1
        assertEquals(listOf(false, true), List(2) { remembered() })
    }

    @Test
    fun `an extracted artifact and the mark of a mapped one stay beside each other`() {
        val folder = File(context.noBackupFilesDir, "mnv4/${fp32.name}")
        repeat(2) {
            for (unit in listOf(Cpu, Gpu)) {
                aside { MobileNetV4.open(context, Mnv4Model(fp32.name), Options(accelerator = unit)) }.close()
            }
        }
        assertEquals(listOf("checked", "tflite"), folder.list()!!.map { it.substringAfterLast('.') }.sorted())
    }
}
