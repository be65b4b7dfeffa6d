package io.github.mnv4.measure

import android.content.Context
import io.github.mnv4.Accelerator
import io.github.mnv4.MobileNetV4
import io.github.mnv4.Options
import io.github.mnv4.UNITS
import io.github.mnv4.core.Golden
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.Orientation
import io.github.mnv4.core.PixelSource
import io.github.mnv4.unit
import java.util.concurrent.CancellationException

/** The parts of a session, in their order. */
public enum class Step {
    /** The bundle is opened twice. */
    LOAD,

    /** The outputs are compared with the golden ones. */
    GOLDEN_CHECK,

    /** Runs are timed. */
    RUNS,
}

/** Measures sessions of bundles, as the generator's docs/reference/measuring.md has it. */
public class Measure(
    context: Context,
    /** Asked now and then whether to end early. */
    private val cancelled: () -> Boolean = { false },
    /** Receives each step as it begins. */
    private val began: (Step) -> Unit,
) {
    private val phone = Phone(context)

    /**
     * Measures a session.
     *
     * @param open opens the bundle.
     * @throws Mnv4Exception.WrongOutput the golden check failed: nothing was timed.
     * @throws Mnv4Exception what else went wrong.
     * @throws CancellationException it was to end early.
     */
    public fun session(
        bundle: ModelBundle,
        plan: Plan,
        open: (Options) -> MobileNetV4,
    ): Samples {
        if (plan.affinity != "none") {
            throw BadPlan(
                "plan: affinity: found '${plan.affinity}', an app cannot choose its cores: none",
            )
        }
        val before = phone.thermal()
        began(Step.LOAD)
        val golden = Golden(bundle)
        val cold: Double
        val first: Double
        val peak: Double?
        val options = Options(plan.threads, warmUp = false, accelerator(plan, bundle))
        open(options).use { model ->
            cold = model.loadMs
            first = model.runPixels(golden.image(0)).times.network
            peak = phone.peakRssMb()
        }
        open(options).use { model ->
            began(Step.GOLDEN_CHECK)
            val sqnrDb = model.selfCheck()
            began(Step.RUNS)
            val (starts, latencies) = timed(model, plan, golden.image(0))
            return Samples(
                goldenSqnrDb = sqnrDb,
                loadColdMs = cold,
                loadWarmMs = model.loadMs,
                firstMs = first,
                latenciesMs = latencies,
                startsMs = starts,
                preprocessMs = preprocess(model),
                peakRssMb = peak,
                ranOn = listOf(model.choice.unit.unit),
                thermalBefore = before,
                thermalAfter = phone.thermal(),
                versions = mapOf("runtime" to model.runtime),
                conditions = phone.conditions(),
            )
        }
    }

    /** The unit that the plan asks for, or else the one that the artifact is made for. */
    private fun accelerator(
        plan: Plan,
        bundle: ModelBundle,
    ): Accelerator {
        val madeFor = if (bundle.manifest.target == "snapdragon") Accelerator.Npu else Accelerator.Cpu
        return UNITS.firstOrNull { it.unit == plan.unit } ?: madeFor
    }

    /** When each run began, from the first one on, and how long it took. */
    private fun timed(
        model: MobileNetV4,
        plan: Plan,
        picture: ByteArray,
    ): Pair<DoubleArray, DoubleArray> {
        repeat(plan.warmup) { model.runPixels(picture) }
        val latencies = ArrayList<Double>()
        val starts = ArrayList<Double>()
        val begin = System.nanoTime()
        while (latencies.size < plan.runs || System.nanoTime() - begin < plan.seconds * 1e9) {
            if (cancelled()) throw CancellationException()
            val took = model.runPixels(picture).times.network
            latencies += took
            starts += (System.nanoTime() - begin) / 1e6 - took
        }
        return DoubleArray(starts.size) { starts[it] - starts[0] } to latencies.toDoubleArray()
    }

    /** Times the way from the pixels of a decoded picture of a camera's usual size to the input. */
    private fun preprocess(model: MobileNetV4): DoubleArray {
        val picture =
            object : PixelSource {
                override val width = 640
                override val height = 480
                override val orientation = Orientation.UPRIGHT

                override fun read(
                    left: Int,
                    top: Int,
                    width: Int,
                    height: Int,
                    into: IntArray,
                ) = (0 until width * height).forEach { into[it] = it * top }
            }
        return DoubleArray(PREPROCESSED) { model.runBlocking(picture).times.preprocess }
    }

    private companion object {
        const val PREPROCESSED = 20
    }
}
