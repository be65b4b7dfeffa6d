package io.github.mnv4.app

import android.content.Intent
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.view.WindowManager
import android.widget.Button
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.TextView
import io.github.mnv4.measure.Measurement
import io.github.mnv4.measure.Phone
import io.github.mnv4.measure.Statistics
import io.github.mnv4.measure.Step
import io.github.mnv4.measure.Thermal
import org.json.JSONObject
import java.text.NumberFormat

/** How long a network takes on this phone. */
internal class BenchmarkActivity : Screen(R.layout.benchmark) {
    private val run get() = app.benchmark
    private lateinit var phone: Phone
    private var thermal: AutoCloseable? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        phone = Phone(this)
        val threads = findViewById<RadioGroup>(R.id.threads)
        for (count in listOf(1, 2, 4)) {
            val button = RadioButton(this)
            button.id = count
            button.text = NumberFormat.getInstance().format(count)
            button.minWidth = resources.getDimensionPixelSize(R.dimen.touch) * 3 / 2
            button.minHeight = resources.getDimensionPixelSize(R.dimen.touch)
            button.setTextAppearance(R.style.Text_Body)
            threads.addView(button)
        }
        threads.check(1)
        findViewById<View>(R.id.run).setOnClickListener { startOrStop() }
        findViewById<View>(R.id.share).setOnClickListener { share() }
    }

    override fun onStart() {
        super.onStart()
        show(phone.thermal())
        thermal = phone.watchThermal(::show)
        run.changed = ::show
        show(run.state)
    }

    override fun onStop() {
        run.changed = {}
        thermal?.close()
        super.onStop()
    }

    override fun onDestroy() {
        if (isFinishing) run.stop()
        super.onDestroy()
    }

    override fun modelChanged() = Unit

    private fun startOrStop() {
        val model = models.chosen ?: return
        if (run.state is BenchmarkRun.State.Running) {
            run.stop()
        } else {
            run.start(model, findViewById<RadioGroup>(R.id.threads).checkedRadioButtonId)
        }
    }

    private fun show(found: Thermal) {
        val name =
            when (found.status) {
                "nominal" -> R.string.thermal_nominal
                "fair" -> R.string.thermal_fair
                "serious" -> R.string.thermal_serious
                "critical" -> R.string.thermal_critical
                else -> R.string.thermal_unknown
            }
        findViewById<TextView>(R.id.thermal).setText(name)
    }

    private fun show(state: BenchmarkRun.State) {
        val running = state is BenchmarkRun.State.Running
        val button = findViewById<Button>(R.id.run)
        button.isEnabled = models.chosen != null
        button.setText(if (running) R.string.stop else R.string.run)
        val screenOn = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (running) window.addFlags(screenOn) else window.clearFlags(screenOn)
        val step = findViewById<TextView>(R.id.step)
        step.visibility = if (running) View.VISIBLE else View.GONE
        if (state is BenchmarkRun.State.Running) {
            step.setText(
                when (state.step) {
                    Step.LOAD -> R.string.step_load
                    Step.GOLDEN_CHECK -> R.string.step_golden
                    Step.RUNS -> R.string.step_runs
                },
            )
        }
        val done = state as? BenchmarkRun.State.Done
        findViewById<View>(R.id.share).visibility = if (done == null) View.GONE else View.VISIBLE
        findViewById<View>(R.id.result).visibility = if (done == null) View.GONE else View.VISIBLE
        done?.let { show(it.measurement) }
        if (!lacksModels()) {
            if (state is BenchmarkRun.State.Failed) say(R.string.failed, state.why) else sayNothing()
        }
    }

    private fun show(measured: Measurement) {
        val samples = measured.samples
        val latencies = Statistics.of(samples.latenciesMs) ?: return
        findViewById<TextView>(R.id.figure).text = getString(R.string.milliseconds, latencies.percentile(50.0))
        findViewById<TextView>(R.id.figure_about).text =
            resources.getQuantityString(R.plurals.median, latencies.count, latencies.count, measured.manifest.id)
        findViewById<DistributionView>(R.id.distribution).show(samples.latenciesMs)
        findViewById<TextView>(R.id.statistics).text =
            getString(R.string.statistics, latencies.percentile(90.0), latencies.min, latencies.max)
        findViewById<ViewGroup>(R.id.facts).removeAllViews()
        samples.goldenSqnrDb?.let { fact(R.string.golden, getString(R.string.golden_db, it)) }
        samples.firstMs?.let { fact(R.string.first_run, getString(R.string.milliseconds, it)) }
        fact(R.string.load, getString(R.string.load_values, samples.loadColdMs, samples.loadWarmMs))
        Statistics.of(samples.preprocessMs)?.let {
            fact(R.string.preparing, getString(R.string.milliseconds, it.percentile(50.0)))
        }
        fact(R.string.ran_on, samples.ranOn.joinToString().uppercase())
        fact(R.string.runtime, samples.versions.getValue("runtime"))
    }

    private fun fact(
        name: Int,
        value: String,
    ) {
        val facts = findViewById<ViewGroup>(R.id.facts)
        val row = layoutInflater.inflate(R.layout.fact_row, facts, false)
        row.findViewById<TextView>(R.id.name).setText(name)
        row.findViewById<TextView>(R.id.value).text = value
        facts.addView(row)
    }

    /** A line that `mnv4 results import` reads. */
    private fun share() {
        val measured = (run.state as? BenchmarkRun.State.Done)?.measurement ?: return
        val line = JSONObject().put("measurement", measured.toJson()).toString()
        val send =
            Intent(Intent.ACTION_SEND)
                .setType("text/plain")
                .putExtra(Intent.EXTRA_SUBJECT, "${measured.manifest.id}.jsonl")
                .putExtra(Intent.EXTRA_TEXT, line)
        startActivity(Intent.createChooser(send, getString(R.string.share)))
    }
}
