package io.github.mnv4.benchmark

import android.app.Activity
import android.os.Bundle
import android.util.Log
import android.view.WindowManager
import android.widget.TextView
import java.io.IOException

/** The same with the screen on: `am start io.github.mnv4.benchmark/.BenchmarkActivity`. */
public class BenchmarkActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val text = TextView(this)
        setContentView(text)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        Thread {
            val say = { line: String ->
                Log.i("mnv4", "mnv4: $line")
                runOnUiThread { text.append("$line\n") }
            }
            try {
                val files = checkNotNull(getExternalFilesDir(null)) { "no external storage" }
                Benchmark(this, say).run(files)
            } catch (error: IOException) {
                say("result.json: ${error.message}")
            }
        }.start()
    }
}
