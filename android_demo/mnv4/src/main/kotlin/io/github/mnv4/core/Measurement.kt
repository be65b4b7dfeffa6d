package io.github.mnv4.core

import org.json.JSONArray
import org.json.JSONObject
import java.time.Instant

/** What a device is. */
public class DeviceInfo(
    /** Always the same for the same device. */
    public val id: String,
    /** The name that its maker gives it. */
    public val model: String,
    /** Its system on a chip; empty where unknown. */
    public val soc: String,
    /** Name and build of the operating system. */
    public val osBuild: String,
    /** Number of its processor's cores. */
    public val cores: Int,
)

/**
 * One session of one bundle on one device, as the generator's `measurement.schema.json` specifies.
 *
 * A file of lines `{"measurement": ...}` is what `mnv4 results import` reads.
 */
public class Measurement(
    /** A UUID. */
    public val id: String,
    /** What it belongs to. */
    public val run: String,
    /** What was measured. */
    public val manifest: Manifest,
    /** What it was measured on. */
    public val device: DeviceInfo,
    /** How. */
    public val plan: Plan,
    /** When it began. */
    public val startedAt: Instant,
    /** What it gave. */
    public val samples: Samples,
) {
    /** The measurement in its JSON form. */
    public fun toJson(): JSONObject =
        JSONObject()
            .put("schema", SCHEMA)
            .put("id", id)
            .put("run", run)
            .put("session", 0)
            .put("artifact", artifact())
            .put("device", device())
            .put("plan", plan.toJson())
            .put("status", "ok")
            .put("error", JSONObject.NULL)
            .put("samples", samples.toJson())
            .put("started_at", startedAt.toString())

    private fun artifact(): JSONObject =
        JSONObject()
            .put("sha256", manifest.artifactSha256)
            .put("bytes", manifest.artifactBytes)
            .put("target", manifest.target)
            .put("bundle_id", manifest.id)
            .put("name", manifest.id)
            .put("model", manifest.modelName)
            .put("recipe", manifest.recipe)
            .put("size", JSONArray(listOf(manifest.preprocess.height, manifest.preprocess.width)))

    private fun device(): JSONObject =
        JSONObject()
            .put("id", device.id)
            .put("model", device.model)
            .put("soc", device.soc)
            .put("os_build", device.osBuild)
            .put("cores", device.cores)

    private companion object {
        const val SCHEMA = 1
    }
}
