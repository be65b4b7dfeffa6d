package io.github.mnv4.benchmark

import android.content.Context
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Bundle
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.Samples
import java.io.File

/** Measures one session of one bundle: the job in the app's folder. */
internal class Benchmark(
    private val context: Context,
    /** Is told every step. */
    private val say: (String) -> Unit,
) {
    private val phone = Phone(context)

    /**
     * Follows the job in [files] and writes its result there, whatever it is.
     *
     * @return its status: `ok`, `wrong` or `failed`.
     * @throws java.io.IOException the result cannot be written.
     */
    fun run(files: File): String {
        var job: Job? = null
        var status = "failed"
        var error: String? = null
        var samples: Samples? = null
        try {
            job = Job.read(files)
            samples = measure(job)
            status = "ok"
        } catch (wrong: WrongOutput) {
            status = "wrong"
            error = wrong.message
        } catch (failure: Mnv4Exception) {
            error = failure.message
        } catch (failure: OutOfMemoryError) {
            error = "out of memory: ${failure.message}"
        }
        say("$status ${error.orEmpty()}")
        Result(job?.id.orEmpty(), status, error, samples).write(files)
        return status
    }

    private fun measure(job: Job): Samples {
        val plan = job.plan
        if (plan.affinity != "none") {
            throw Mnv4Exception.BadPlan(
                "plan: affinity: found '${plan.affinity}', an app cannot choose its cores: none",
            )
        }
        val bundle = Bundle.open(FolderFiles(job.bundle))
        val id = bundle.manifest.id
        val before = phone.thermal()
        say("$id: load")
        val golden = Golden(bundle)
        val cold: Double
        val first: Double
        val peak: Double?
        MobileNetV4.open(job.bundle, plan.threads).use { model ->
            cold = model.loadMs
            model.runPixels(golden.picture(0))
            first = model.lastTimes.network
            peak = phone.peakRssMb()
        }
        MobileNetV4.open(job.bundle, plan.threads).use { model ->
            say("$id: golden check")
            val sqnrDb = golden.check(model)
            val picture = golden.picture(0)
            repeat(plan.warmup) { model.runPixels(picture) }
            say("$id: ${plan.runs} runs")
            val latencies = ArrayList<Double>()
            val starts = ArrayList<Double>()
            val begin = System.nanoTime()
            while (latencies.size < plan.runs || System.nanoTime() - begin < plan.seconds * 1e9) {
                model.runPixels(picture)
                latencies += model.lastTimes.network
                starts += (System.nanoTime() - begin) / 1e6 - model.lastTimes.network
            }
            return Samples(
                goldenSqnrDb = sqnrDb,
                loadColdMs = cold,
                loadWarmMs = model.loadMs,
                firstMs = first,
                latenciesMs = latencies.toDoubleArray(),
                startsMs = DoubleArray(starts.size) { starts[it] - starts[0] },
                preprocessMs = preprocess(model),
                peakRssMb = peak,
                thermalBefore = before,
                thermalAfter = phone.thermal(),
                versions = mapOf("runtime" to model.runtime),
                conditions = phone.conditions(),
            )
        }
    }

    /** From the pixels of a decoded picture of a camera's usual size to the input. */
    private fun preprocess(model: MobileNetV4): DoubleArray {
        val picture =
            object : PixelSource {
                override val width = 640
                override val height = 480

                override fun readRow(
                    y: Int,
                    into: IntArray,
                ) = (0 until width).forEach { into[it] = it * y }

                override fun readColumn(
                    x: Int,
                    into: IntArray,
                ) = (0 until height).forEach { into[it] = it * x }
            }
        return DoubleArray(PREPROCESSED) {
            model.run(picture)
            model.lastTimes.preprocess
        }
    }

    private companion object {
        const val PREPROCESSED = 20
    }
}
