package io.github.mnv4

import io.github.mnv4.core.Golden
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.Preprocessor
import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.concurrent.thread

/** A session, and how long the runtime took to load it, in milliseconds. */
internal class Loaded(
    val session: Session,
    val ms: Double,
)

/** A unit that may run a network, and the bundle for it. */
internal class Candidate(
    val unit: Accelerator,
    val bundle: ModelBundle,
    /** Loads the bundle's artifact, or says why the unit cannot run it. */
    val load: () -> Loaded,
)

/** The candidate that was chosen, loaded. */
internal class Chosen(
    val candidate: Candidate,
    val loaded: Loaded,
    val choice: Choice,
)

/** Tries units, and chooses the fastest one that is right. */
internal class Chooser(
    private val memory: Memory,
    /** How long one unit may take in milliseconds, with loading, which compiles the network for it. */
    private val timeoutMs: Long = 30_000,
    private val now: () -> Long = System::nanoTime,
) {
    /**
     * Returns the candidate that was chosen before, or else tries all of them, one at a time.
     *
     * @throws Mnv4Exception.RuntimeFailed if no unit is right.
     * @throws Mnv4Exception if that is not the units' fault.
     */
    fun choose(candidates: List<Candidate>): Chosen =
        synchronized(LOCK) {
            remembered(candidates) ?: tryAll(candidates)
        }

    /** Returns the choice of an earlier opening; null if there is none, or it cannot be loaded any more. */
    private fun remembered(candidates: List<Candidate>): Chosen? {
        val findings = memory.findings()
        val fastest = findings.firstOrNull { it.verdict == Verdict.Fastest } ?: return null
        val candidate = candidates.firstOrNull { it.unit == fastest.unit } ?: return null
        return try {
            Chosen(candidate, candidate.load(), Choice(fastest.unit, findings, remembered = true))
        } catch (_: Mnv4Exception) {
            null
        }
    }

    private fun tryAll(candidates: List<Candidate>): Chosen {
        var best: Pair<Candidate, Right>? = null
        val trials =
            candidates.associate { candidate ->
                val trial = guarded(candidate)
                if (trial is Right) {
                    val before = best?.second
                    val faster = before == null || trial.medianMs < before.medianMs
                    if (faster) best = candidate to trial
                    (if (faster) before else trial)?.loaded?.session?.close()
                }
                candidate.unit to trial
            }
        val (candidate, right) = best ?: throw nothing(candidates, trials.values)
        val findings = trials.map { (unit, trial) -> finding(unit, trial, candidate.unit, right) }
        memory.keep(findings)
        return Chosen(candidate, right.loaded, Choice(candidate.unit, findings, remembered = false))
    }

    private fun finding(
        unit: Accelerator,
        trial: Trial,
        fastest: Accelerator,
        right: Right,
    ): Finding =
        when (trial) {
            is Bad -> Finding(unit, trial.verdict, null, trial.text)
            is Right -> {
                val wins = unit == fastest
                val text = "${shown(trial.medianMs)}, the median of $RUNS runs"
                val slower = "${shown(trial.medianMs)}, the ${fastest.shown} takes ${shown(right.medianMs)}"
                val verdict = if (wins) Verdict.Fastest else Verdict.Slower
                Finding(unit, verdict, trial.medianMs, if (wins) text else slower)
            }
        }

    private fun nothing(
        candidates: List<Candidate>,
        trials: Collection<Trial>,
    ): Mnv4Exception {
        val error = (trials.first() as Bad).error
        if (error is Mnv4Exception.BadBundle || error is Mnv4Exception.MissingRuntime) return error
        val id =
            candidates
                .first()
                .bundle.manifest.id
        val reasons = candidates.zip(trials) { candidate, trial -> "${candidate.unit.shown}: ${(trial as Bad).text}" }
        return Mnv4Exception.RuntimeFailed("$id: no unit of this device runs it: ${reasons.joinToString("; ")}")
    }

    /** Tries a unit in a thread of its own, which is left alone if it hangs. */
    private fun guarded(candidate: Candidate): Trial {
        val unit = candidate.unit
        if (memory.begun(unit) >= CRASHES) {
            return Bad(Verdict.Crashed, "the app ended $CRASHES times while the ${unit.shown} was tried")
        }
        memory.begin(unit)
        // Set by the first of the two: the one that waits, or the one that answers.
        val settled = AtomicBoolean()
        val task =
            FutureTask {
                val trial = trial(candidate)
                if (!settled.compareAndSet(false, true)) (trial as? Right)?.loaded?.session?.close()
                trial
            }
        thread(isDaemon = true, name = "mnv4-${unit.name}") { task.run() }
        return try {
            task.get(timeoutMs, TimeUnit.MILLISECONDS)
        } catch (_: TimeoutException) {
            val hangs = settled.compareAndSet(false, true)
            if (hangs) Bad(Verdict.Hung, "no answer within $timeoutMs ms") else task.get()
        } catch (error: ExecutionException) {
            throw error.cause ?: error
        } finally {
            memory.end(unit)
        }
    }

    private fun trial(candidate: Candidate): Trial {
        var loaded: Loaded? = null
        var trial: Trial? = null
        try {
            loaded = candidate.load()
            trial = checked(candidate, loaded)
        } catch (error: Mnv4Exception.WrongOutput) {
            trial = Bad(Verdict.Wrong, error.message.orEmpty())
        } catch (error: Exception) {
            trial = Bad(Verdict.Failed, error.message ?: error.toString(), error)
        } catch (error: LinkageError) {
            trial = Bad(Verdict.Failed, "the app lacks a part of the runtime: ${error.message}")
        } catch (error: OutOfMemoryError) {
            trial = Bad(Verdict.Failed, "out of memory: ${error.message}")
        } finally {
            if (trial !is Right) loaded?.session?.close()
        }
        return trial
    }

    /** Runs the golden images, and then the first of them as often as it is timed. */
    private fun checked(
        candidate: Candidate,
        loaded: Loaded,
    ): Trial {
        val manifest = candidate.bundle.manifest
        val preprocessor = Preprocessor(manifest.preprocess, manifest.input)
        val session = loaded.session
        val golden = Golden(candidate.bundle)
        val outputs = ArrayList<List<FloatArray>>()
        golden.check { pixels ->
            preprocessor.feed(pixels, session.input)
            outputs += session.run()
            manifest.outputs
                .map { it.name }
                .zip(outputs.last())
                .toMap()
        }
        preprocessor.feed(golden.image(0), session.input)
        val times = DoubleArray(RUNS)
        for (run in times.indices) {
            val begin = now()
            val found = session.run()
            times[run] = (now() - begin) / 1e6
            if (found.zip(outputs[0]).any { (a, b) -> !a.contentEquals(b) }) {
                return Bad(Verdict.Flaky, "run ${run + 1} of $RUNS gave other outputs for the same image")
            }
        }
        return Right(loaded, times.sorted()[RUNS / 2])
    }

    private fun shown(ms: Double) = "%.2f ms".format(ms)

    private sealed interface Trial

    private class Right(
        val loaded: Loaded,
        val medianMs: Double,
    ) : Trial

    private class Bad(
        val verdict: Verdict,
        val text: String,
        val error: Exception? = null,
    ) : Trial

    private companion object {
        const val RUNS = 20

        /** How often the app may end while a unit is tried; once may be the user's doing. */
        const val CRASHES = 2

        /** Trials at the same time would slow each other down. */
        val LOCK = Any()
    }
}
