package io.github.mnv4.benchmark

import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Plan
import io.github.mnv4.core.Samples
import org.json.JSONException
import org.json.JSONObject
import java.io.File
import java.io.IOException

/**
 * What `mnv4 measure` asks for, in a folder that both sides may use: `mnv4_mobile/measure/app.py`
 * is the norm.
 */
internal class Job(
    val id: String,
    /** The bundle's folder. */
    val bundle: File,
    val plan: Plan,
) {
    companion object {
        private const val SCHEMA = 1

        /**
         * Reads `mnv4/job/job.json`.
         *
         * @param files the app's own folder.
         * @throws Mnv4Exception.BadPlan there is none, or one that cannot be followed.
         */
        fun read(files: File): Job {
            val folder = File(files, "mnv4/job")
            val text =
                try {
                    File(folder, "job.json").readText()
                } catch (error: IOException) {
                    throw Mnv4Exception.BadPlan("job.json: ${error.message}")
                }
            return try {
                val json = JSONObject(text)
                if (json.getInt("schema") != SCHEMA) {
                    throw Mnv4Exception.BadPlan("job.json: schema: found ${json.get("schema")}, this app reads $SCHEMA")
                }
                val bundle = json.getString("bundle")
                if (bundle != File(bundle).name || bundle.startsWith(".")) {
                    throw Mnv4Exception.BadPlan("job.json: bundle: found '$bundle', must be a folder beside job.json")
                }
                val plan = Plan.parse(json.getJSONObject("plan").toString())
                Job(json.getString("id"), File(folder, bundle), plan)
            } catch (error: JSONException) {
                throw Mnv4Exception.BadPlan("job.json: ${error.message}")
            }
        }
    }
}

/** What became of a job. */
internal class Result(
    private val job: String,
    private val status: String,
    private val error: String?,
    private val samples: Samples?,
) {
    fun toJson(): JSONObject =
        JSONObject()
            .put("schema", 1)
            .put("job", job)
            .put("status", status)
            .put("error", error ?: JSONObject.NULL)
            .put("samples", samples?.toJson() ?: JSONObject.NULL)

    /**
     * Writes `mnv4/result.json` beside it and renames it, so that who sees it sees all of it.
     *
     * @throws IOException no space is left, ...
     */
    fun write(files: File) {
        val file = File(files, "mnv4/result.json")
        val part = File(files, "mnv4/result.json.part")
        part.outputStream().use { out ->
            out.write(toJson().toString().toByteArray())
            out.fd.sync()
        }
        if (!part.renameTo(file)) throw IOException("$part cannot be renamed to $file")
    }
}
