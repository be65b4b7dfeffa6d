package io.github.mnv4.benchmark

import android.app.Activity
import android.app.Instrumentation
import android.os.Bundle
import java.io.IOException

/**
 * `am instrument -w io.github.mnv4.benchmark/.BenchmarkInstrumentation` follows the job in the app's
 * folder. Every session is a process of its own, so that a runtime that crashes ends only its own.
 */
public class BenchmarkInstrumentation : Instrumentation() {
    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        start()
    }

    override fun onStart() {
        super.onStart()
        val results = Bundle()
        val code =
            try {
                val files = checkNotNull(targetContext.getExternalFilesDir(null)) { "no external storage" }
                val status = Benchmark(targetContext, ::say).run(files)
                results.putString("status", status)
                if (status == "ok") Activity.RESULT_OK else Activity.RESULT_CANCELED
            } catch (error: IOException) {
                results.putString("error", "result.json: ${error.message}")
                Activity.RESULT_CANCELED
            }
        finish(code, results)
    }

    private fun say(text: String) {
        val status = Bundle()
        status.putString("stream", "mnv4: $text\n")
        sendStatus(0, status)
    }
}
