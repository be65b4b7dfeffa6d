package io.github.mnv4.benchmark

import android.content.ComponentName
import android.content.Context
import android.content.pm.PackageManager
import android.os.Build
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.StandIn
import io.github.mnv4.measure.Plan
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.util.ReflectionHelpers
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.security.MessageDigest
import kotlin.concurrent.thread

/** Whole sessions with a real LiteRT. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34])
class BenchmarkTest {
    private val fixtures = File(System.getProperty("mnv4.fixtures")!!)
    private val files: File = Files.createTempDirectory("files").toFile()
    private val said = ArrayList<String>()

    private fun job(
        bundle: String,
        plan: JSONObject = Plan(warmup = 2, runs = 5, seconds = 0.0).toJson(),
    ): JSONObject {
        val folder = File(files, "mnv4/job")
        File(fixtures, "bundles/$bundle").copyRecursively(File(folder, "bundle"), overwrite = true)
        return JSONObject()
            .put("schema", 1)
            .put("id", "00000000-0000-4000-8000-000000000000")
            .put("bundle", "bundle")
            .put("plan", plan)
    }

    private fun run(job: JSONObject): JSONObject {
        File(files, "mnv4/job").mkdirs()
        File(files, "mnv4/job/job.json").writeText(job.toString())
        val benchmark = Benchmark(RuntimeEnvironment.getApplication() as Context) { said += it }
        // Robolectric runs tests on the main thread, on which no network opens.
        var status: kotlin.Result<String>? = null
        thread { status = runCatching { benchmark.run(files) } }.join()
        val told = status!!.getOrThrow()
        val result = JSONObject(File(files, "mnv4/result.json").readText())
        assertEquals(told, result.getString("status"))
        return result
    }

    @Test
    fun `a session that Python asks for, and reads afterwards`() {
        job("conv-small-035-96x96-fp32-tflite")
        val result = run(JSONObject(File(fixtures, "job.json").readText()))
        assertEquals(result.toString(), "ok", result.getString("status"))
        val samples = result.getJSONObject("samples")
        assertEquals(5, samples.getJSONArray("latencies_ms").length())
        assertEquals(0.0, samples.getJSONArray("t_ms").getDouble(0), 0.0)
        assertTrue(samples.getDouble("golden_sqnr_db") > 80)
        assertTrue(samples.getDouble("load_cold_ms") > 0)
        assertEquals("tflite 2.16.1", samples.getJSONObject("versions").getString("runtime"))
        assertEquals("nominal", samples.getJSONObject("thermal_before").getString("status"))
        val conditions = samples.getJSONObject("conditions")
        assertTrue(conditions.getString("os_build").startsWith("Android 14"))
        assertTrue(conditions.has("soc") && conditions.has("screen"))
        assertFalse(File(files, "mnv4/result.json.part").exists())
        assertEquals(listOf("load", "golden_check", "runs"), said.take(3))
        val kept = File(fixtures, "result.json")
        File(files, "mnv4/result.json").copyTo(kept, overwrite = true)
    }

    @Test
    fun `the unit that was asked for is the one that ran, or the session fails`() {
        val plan = Plan(warmup = 0, runs = 1, seconds = 0.0, unit = "gpu").toJson()
        val tflite = "conv-small-035-96x96-fp32-tflite"
        val npu = "../npu/conv-small-035-96x96-fp32-SM8750-snapdragon"
        val refused = run(job(tflite, plan))
        assertEquals("failed", refused.getString("status"))
        assertTrue(refused.getString("error"), "LiteRT has no GPU here" in refused.getString("error"))
        try {
            StandIn.available = Accelerator.entries.toSet()
            ReflectionHelpers.setStaticField(Build::class.java, "SOC_MODEL", "SM8750")
            assertEquals("""["gpu"]""", run(job(tflite, plan)).getJSONObject("samples").getString("ran_on"))
            val made = run(job(npu, plan.put("unit", JSONObject.NULL)))
            assertEquals("""["npu"]""", made.getJSONObject("samples").getString("ran_on"))
        } finally {
            StandIn.reset()
        }
    }

    @Test
    fun `no space for the result`() {
        val job = job("conv-small-035-96x96-fp32-tflite")
        Files.createSymbolicLink(File(files, "mnv4/result.json.part").toPath(), File("/dev/full").toPath())
        val error = assertThrows(IOException::class.java) { run(job) }
        assertTrue(error.message, "No space left" in error.message!!)
        assertFalse(File(files, "mnv4/result.json").exists())
    }

    @Test
    fun `the activity, which only the shell may start`() {
        val context = RuntimeEnvironment.getApplication()
        val name = ComponentName(context, BenchmarkActivity::class.java)
        val info = context.packageManager.getActivityInfo(name, 0)
        assertTrue(info.exported)
        assertEquals("android.permission.DUMP", info.permission)
        val asked = context.packageManager.getPackageInfo(context.packageName, PackageManager.GET_PERMISSIONS)
        assertNull(asked.requestedPermissions)

        val folder = context.getExternalFilesDir(null)!!
        val job = job("conv-small-035-96x96-fp32-tflite")
        File(files, "mnv4").copyRecursively(File(folder, "mnv4"))
        File(folder, "mnv4/job/job.json").writeText(job.toString())
        Robolectric.buildActivity(BenchmarkActivity::class.java).setup().use {
            val result = File(folder, "mnv4/result.json")
            val end = System.nanoTime() + 60e9.toLong()
            while (!result.exists() && System.nanoTime() < end) Thread.sleep(50)
            assertEquals("ok", JSONObject(result.readText()).getString("status"))
        }
    }

    @Test
    fun `a wrong golden pair is not timed`() {
        val job = job("hybrid-narrow-96x96-fp32-tflite")
        val bundle = File(files, "mnv4/job/bundle")
        val wrong = File(bundle, "golden/eager.logits.bin").readBytes().reversedArray()
        File(bundle, "golden/eager.logits.bin").writeBytes(wrong)
        val digest = MessageDigest.getInstance("SHA-256").digest(wrong)
        val manifest = JSONObject(File(bundle, "manifest.json").readText())
        val entries = manifest.getJSONArray("golden")
        for (i in 0 until entries.length()) {
            val entry = entries.getJSONObject(i)
            if (entry.getString("source") == "eager") {
                entry.put("sha256", digest.joinToString("") { "%02x".format(it) })
            }
        }
        File(bundle, "manifest.json").writeText(manifest.toString())
        val result = run(job)
        assertEquals("wrong", result.getString("status"))
        assertTrue(result.getString("error"), "must be" in result.getString("error"))
        assertTrue(result.isNull("samples"))
    }

    private fun refused(
        message: String,
        key: String,
        value: Any,
    ) {
        val result = run(job("conv-small-035-96x96-fp32-tflite").put(key, value))
        assertEquals("failed", result.getString("status"))
        assertTrue(result.getString("error"), message in result.getString("error"))
        assertTrue(result.isNull("samples"))
    }

    @Test
    fun `what cannot be followed is failed, and says why`() {
        refused("this one reads 1", "schema", 7)
        refused("bundle: found '../bundle'", "bundle", "../bundle")
        refused("not a bundle", "bundle", "nothing")
        refused("plan.sped: unknown key", "plan", Plan().toJson().put("sped", 1))
        refused("affinity", "plan", Plan(affinity = "4,5").toJson())
    }
}
