package io.github.mnv4.benchmark

import io.github.mnv4.measure.Samples
import org.json.JSONObject
import java.io.File
import java.io.IOException

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
