package io.github.mnv4

import io.github.mnv4.Accelerator.Cpu
import io.github.mnv4.Accelerator.Gpu
import io.github.mnv4.Accelerator.Npu
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import org.json.JSONArray
import org.json.JSONObject
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicLong

/** What is chosen where a unit is bad: TensorFlow Lite's outputs on the CPU, spoiled, and a clock of its own. */
class ChooserTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val file: File by lazy { File(folder.root, "units/choice.json") }
    private val place: File = Fixtures.bundle("conv-small-035-96x96-fp32-tflite")
    private val bundle: ModelBundle = ModelBundle.open(FolderFiles(place))
    private val clock = AtomicLong()
    private val loads = AtomicInteger()
    private val alive = AtomicInteger()
    private val never = CountDownLatch(1)

    @After
    fun end() = never.countDown()

    /** Spoils the outputs of a run, whose number is given from 1 on. */
    private inner class Spoiled(
        private val session: Session,
        private val ms: Long,
        private val spoil: (Int, List<FloatArray>) -> List<FloatArray>,
    ) : Session by session {
        private var runs = 0

        override fun run(): List<FloatArray> {
            clock.addAndGet(ms * 1_000_000)
            return spoil(++runs, session.run())
        }

        override fun close() {
            session.close()
            alive.decrementAndGet()
        }
    }

    private fun unit(
        unit: Accelerator,
        ms: Long,
        spoil: (Int, List<FloatArray>) -> List<FloatArray> = { _, outputs -> outputs },
    ): Candidate =
        Candidate(unit, bundle) {
            loads.incrementAndGet()
            val session = openSession(Fixtures.context, bundle, FileArtifact(bundle, place), Cpu, threads = 1)
            alive.incrementAndGet()
            Loaded(Spoiled(session, ms, spoil), 1.0)
        }

    private val cpu = unit(Cpu, 8)
    private val gpu = unit(Gpu, 2)
    private val noNpu = Candidate(Npu, bundle) { throw Mnv4Exception.Unsupported("LiteRT has no NPU here") }

    private val cases =
        mapOf(
            "right" to gpu,
            "wrong" to unit(Gpu, 2) { _, outputs -> outputs.map { it.reversedArray() } },
            "slow" to unit(Gpu, 20),
            "flaky" to
                unit(Gpu, 2) { run, outputs ->
                    if (run == FLAKY) outputs[0][0] = Math.nextUp(outputs[0][0])
                    outputs
                },
            "throwing" to
                unit(Gpu, 2) { run, outputs ->
                    check(run < FLAKY) { "device lost" }
                    outputs
                },
            "hanging" to
                unit(Gpu, 2) { _, outputs ->
                    never.await()
                    outputs
                },
        )

    private fun memory(key: Map<String, String> = mapOf("os_build" to "1", "artifacts" to "a")) = Memory(file, key)

    private fun choose(
        gpu: Candidate,
        memory: Memory = memory(),
        timeoutMs: Long = 60_000,
    ): Choice {
        val chosen = Chooser(memory, timeoutMs, clock::get).choose(listOf(cpu, gpu, noNpu))
        assertEquals(chosen.choice.unit, chosen.candidate.unit)
        chosen.loaded.session.run()
        chosen.loaded.session.close()
        return chosen.choice
    }

    @Test
    fun `a unit that is wrong, slow, flaky, throwing or hanging is not chosen, and the reason is told`() {
        val table = JSONArray()
        val found =
            cases.mapValues { (name, candidate) ->
                file.delete()
                val choice = choose(candidate, timeoutMs = if (name == "hanging") 3_000 else 60_000)
                table.put(JSONObject().put("case", name).put("unit", choice.unit.shown).put("text", "$choice"))
                choice.unit to choice.findings[1].let { it.verdict to it.text }
            }
        File(Fixtures.folder, "choices.json").writeText(table.toString(1))
        assertEquals(
            mapOf(
                "right" to (Gpu to (Verdict.Fastest to "2.00 ms, the median of 20 runs")),
                "wrong" to (Cpu to (Verdict.Wrong to found.getValue("wrong").second.second)),
                "slow" to (Cpu to (Verdict.Slower to "20.00 ms, the CPU takes 8.00 ms")),
                "flaky" to (Cpu to (Verdict.Flaky to "run 7 of 20 gave other outputs for the same image")),
                "throwing" to (Cpu to (Verdict.Failed to "device lost")),
                "hanging" to (Cpu to (Verdict.Hung to "no answer within 3000 ms")),
            ),
            found,
        )
        val wrong = found.getValue("wrong").second.second
        assertTrue(wrong, "output logits: " in wrong && "must be 80.0 or more" in wrong)
        never.countDown()
        repeat(WAITS) { if (alive.get() > 0) Thread.sleep(10) } // the one that hung is closed when it answers
        assertEquals(0, alive.get())
    }

    @Test
    fun `errors of the virtual machine are failures of the unit`() {
        for ((error, text) in listOf(
            NoClassDefFoundError("Model") to "lacks a part",
            OutOfMemoryError() to "out of memory",
        )) {
            val finding = choose(Candidate(Gpu, bundle) { throw error }).findings[1]
            assertEquals(Verdict.Failed, finding.verdict)
            assertTrue(finding.text, text in finding.text)
            file.delete()
        }
    }

    @Test
    fun `each unit has its reason`() {
        val choice = choose(gpu)
        assertEquals(listOf(Cpu, Gpu, Npu), choice.findings.map { it.unit })
        assertEquals(listOf(8.0, 2.0, null), choice.findings.map { it.medianMs })
        assertEquals(
            "runs on the GPU: 2.00 ms, the median of 20 runs. Not on the CPU: 8.00 ms, the GPU takes 2.00 ms. " +
                "Not on the NPU: LiteRT has no NPU here",
            "$choice",
        )
    }

    @Test
    fun `no unit is used that is not right`() {
        val chooser = Chooser(memory(), now = clock::get)
        val wrong = unit(Cpu, 8) { _, outputs -> outputs.map { it.reversedArray() } }
        val error =
            assertThrows(Mnv4Exception.RuntimeFailed::class.java) {
                chooser.choose(listOf(wrong, cases.getValue("throwing"), noNpu))
            }
        val message = error.message!!
        assertTrue(message, message.startsWith("${bundle.manifest.id}: no unit of this device runs it: CPU: "))
        assertTrue(message, message.endsWith("; GPU: device lost; NPU: LiteRT has no NPU here"))
        assertEquals(0, alive.get())
    }

    @Test
    fun `what is wrong with the app is no unit's fault`() {
        val lacking =
            UNITS.map {
                Candidate(
                    it,
                    bundle,
                ) { throw Mnv4Exception.MissingRuntime("the app lacks its runtime") }
            }
        val chooser = Chooser(memory(), now = clock::get)
        assertThrows(Mnv4Exception.MissingRuntime::class.java) { chooser.choose(lacking) }
    }

    @Test
    fun `a choice is remembered for its key`() {
        val first = choose(gpu)
        assertTrue(!first.remembered)
        loads.set(0)
        clock.set(0)
        val second = choose(gpu)
        assertTrue(second.remembered)
        assertEquals("$first", "$second")
        assertEquals(1, loads.get())
        assertEquals(2_000_000, clock.get()) // the test's own run: nothing was timed
        for ((build, artifact) in listOf("2" to "a", "1" to "b")) {
            val other = mapOf("os_build" to build, "artifacts" to artifact)
            assertTrue(!choose(gpu, memory(other)).remembered)
            assertTrue(choose(gpu, memory(other)).remembered)
        }
    }

    @Test
    fun `what is damaged, or cannot be loaded any more, is chosen anew`() {
        choose(gpu)
        val sound = file.readText()
        val damaged =
            listOf(
                sound.dropLast(1),
                "",
                "[]",
                sound.replace("\"gpu\"", "\"tpu\""),
                sound.replace("Fastest", "Best"),
                sound.replace("\"verdict\"", "\"outcome\""),
                sound.replace("\"begun\":{}", "\"begun\":[]"),
            )
        for (text in damaged) {
            assertTrue(text != sound)
            file.writeText(text)
            assertTrue(text, !choose(gpu).remembered)
        }
        val gone = Candidate(Gpu, bundle) { throw Mnv4Exception.Unsupported("LiteRT has no GPU here") }
        val choice = choose(gone)
        assertEquals(Cpu, choice.unit)
        assertEquals("LiteRT has no GPU here", choice.findings[1].text)
    }

    @Test
    fun `without storage, the units are tried again`() {
        folder.root.setWritable(false)
        repeat(2) { assertEquals(Gpu, choose(gpu).unit) }
        folder.root.setWritable(true)
    }

    @Test
    fun `a unit that ends the app twice is not tried again`() {
        val ends = Candidate(Gpu, bundle) { throw AssertionError("was tried") }
        memory().begin(Gpu)
        assertEquals(Gpu, choose(gpu).unit) // once may be the user's doing
        file.delete()
        repeat(2) { memory().begin(Gpu) }
        val choice = choose(ends)
        assertEquals(Cpu, choice.unit)
        assertEquals(Verdict.Crashed, choice.findings[1].verdict)
        assertTrue(choose(ends).remembered)
    }

    private companion object {
        /** The number of the run that goes wrong: two check the golden images, and the seventh of those that are timed. */
        const val FLAKY = 9
        const val WAITS = 500
    }
}
