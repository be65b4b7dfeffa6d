package io.github.mnv4.app

import android.content.Intent
import android.os.PowerManager
import android.view.View
import android.widget.Button
import android.widget.TextView
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = DAY)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class BenchmarkActivityTest {
    private val controller by lazy { Robolectric.buildActivity(BenchmarkActivity::class.java).setup() }
    private val activity get() = controller.get()

    @Before
    fun ready() = choose(CONV)

    private fun text(id: Int) = activity.findViewById<TextView>(id).text.toString()

    private fun run() {
        activity.findViewById<Button>(R.id.run).performClick()
        assertEquals("Stop", text(R.id.run))
        await { app.benchmark.state !is BenchmarkRun.State.Running }
    }

    private fun measured() {
        run()
        assertTrue("${app.benchmark.state}", app.benchmark.state is BenchmarkRun.State.Done)
        assertTrue(activity.findViewById<View>(R.id.result).isShown)
        assertTrue(text(R.id.figure), text(R.id.figure).endsWith(" ms"))
        val chart = activity.findViewById<View>(R.id.distribution)
        assertTrue("${chart.contentDescription}", "nine in ten below" in chart.contentDescription)
    }

    @Test
    fun `a measurement, shared as Python imports it`() {
        measured()
        keep("benchmark", activity.screen)
        activity.findViewById<View>(R.id.share).performClick()
        val chooser = shadowOf(activity).nextStartedActivity
        val sent = chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java)!!
        val line = sent.getStringExtra(Intent.EXTRA_TEXT)!!
        val samples = JSONObject(line).getJSONObject("measurement").getJSONObject("samples")
        assertTrue(samples.getJSONArray("latencies_ms").length() >= 50)
        File(fixtures, "measurement.jsonl").writeText("$line\n")
    }

    @Test
    @Config(sdk = [26, 35])
    fun `a measurement, on the oldest and the newest Android`() = measured()

    @Test
    @Config(qualifiers = NIGHT)
    fun `a measurement, by night`() {
        measured()
        keep("benchmark", activity.screen)
    }

    @Test
    fun `turning the phone keeps the measurement`() {
        measured()
        val figure = text(R.id.figure)
        controller.recreate()
        assertEquals(figure, text(R.id.figure))
    }

    @Test
    fun `stopping`() {
        activity.findViewById<Button>(R.id.run).performClick()
        activity.findViewById<Button>(R.id.run).performClick()
        await { app.benchmark.state !is BenchmarkRun.State.Running }
        assertEquals(BenchmarkRun.State.Idle, app.benchmark.state)
        assertEquals("Run", text(R.id.run))
        assertFalse(activity.findViewById<View>(R.id.share).isShown)
    }

    @Test
    fun `what fails says why`() {
        choose(CONV.replace("tflite", "executorch"))
        File(app.noBackupFilesDir, "mnv4").writeText("in the way")
        run()
        assertTrue(text(R.id.message_text), "cannot be extracted" in text(R.id.message_text))
    }

    @Test
    fun `the thermal state as it changes`() {
        assertEquals("Nominal", text(R.id.thermal))
        val power = app.getSystemService(PowerManager::class.java)
        shadowOf(power).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
        await { text(R.id.thermal) == "Serious" }
    }
}
