package io.github.mnv4.measure

import io.github.mnv4.core.ModelManifest
import org.json.JSONArray
import org.json.JSONObject
import java.time.Instant

/** The description of a device. */
public class DeviceInfo(
    /** An id that is always the same for the same device. */
    public val id: String,
    /** The maker's name for the device. */
    public val model: String,
    /** The system on a chip; empty if unknown. */
    public val soc: String,
    /** Name and build of the operating system. */
    public val osBuild: String,
    /** The number of processor cores. */
    public val cores: Int,
)

/**
 * One session of one bundle on one device, as the generator's `measurement.schema.json` specifies.
 *
 * `mnv4 results import` reads files of lines `{"measurement": ...}`.
 */
public class Measurement(
    /** The measurement's UUID. */
    public val id: String,
    /** The name of the run that it belongs to. */
    public val run: String,
    /** The manifest of the bundle that was measured. */
    public val manifest: ModelManifest,
    /** The device that it was measured on. */
    public val device: DeviceInfo,
    /** How it was measured. */
    public val plan: Plan,
    /** When the session began. */
    public val startedAt: Instant,
    /** The samples of the session. */
    public val samples: Samples,
) {
    /** Returns the measurement in its JSON form. */
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
