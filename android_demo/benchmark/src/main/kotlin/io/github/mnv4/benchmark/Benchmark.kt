package io.github.mnv4.benchmark

import android.content.Context
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.measure.BadPlan
import io.github.mnv4.measure.Job
import io.github.mnv4.measure.Measure
import io.github.mnv4.measure.Samples
import java.io.File
import java.io.IOException

/** Measures one session of one bundle: the job in the app's folder. */
internal class Benchmark(
    private val context: Context,
    /** Receives every step. */
    private val say: (String) -> Unit,
) {
    private val measure = Measure(context) { say(it.name.lowercase()) }

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
            val beside = File(files, "mnv4/job")
            job = Job.parse(read(File(beside, "job.json")))
            val folder = File(beside, job.bundle)
            samples =
                measure.session(
                    ModelBundle.open(FolderFiles(folder)),
                    job.plan,
                ) { MobileNetV4.open(context, folder, it) }
            status = "ok"
        } catch (wrong: Mnv4Exception.WrongOutput) {
            status = "wrong"
            error = wrong.message
        } catch (failure: Mnv4Exception) {
            error = failure.message
        } catch (failure: BadPlan) {
            error = failure.message
        } catch (failure: OutOfMemoryError) {
            error = "out of memory: ${failure.message}"
        }
        say("$status ${error.orEmpty()}")
        Result(job?.id.orEmpty(), status, error, samples).write(files)
        return status
    }

    private fun read(file: File): String =
        try {
            file.readText()
        } catch (error: IOException) {
            throw BadPlan("job.json: ${error.message}")
        }
}
