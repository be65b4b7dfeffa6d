package io.github.mnv4.core

import org.json.JSONArray
import org.json.JSONObject

/** How warm a device is, as far as it says. */
public data class Thermal(
    /** `nominal`, `fair`, `serious`, `critical`; null where it does not say. */
    public val status: String? = null,
    /** The temperature of the hottest sensor; null where the device does not say. */
    public val celsius: Double? = null,
) {
    internal fun toJson(): JSONObject = JSONObject().put("status", status.orNull()).put("celsius", celsius.orNull())
}

/** What one session gave, in milliseconds and MiB: `samples` of the generator's `measurement.schema.json`. */
public class Samples(
    /** The SQNR of the worst output against the golden pair. */
    public val goldenSqnrDb: Double?,
    /** Loading in a fresh process. */
    public val loadColdMs: Double?,
    /** Loading once more in the same process. */
    public val loadWarmMs: Double?,
    /** The first inference of a fresh process. */
    public val firstMs: Double?,
    /** The latencies of the timed runs. */
    public val latenciesMs: DoubleArray,
    /** When each of them began, from the first one on. */
    public val startsMs: DoubleArray,
    /** Times from the pixels of a decoded picture to the input, apart from the latencies. */
    public val preprocessMs: DoubleArray,
    /** The peak memory of a process that loaded and ran it once. */
    public val peakRssMb: Double?,
    /** Before the network was loaded. */
    public val thermalBefore: Thermal,
    /** After the last run. */
    public val thermalAfter: Thermal,
    /** `runtime` names the runtime with its version. */
    public val versions: Map<String, String>,
    /** What else bears on the figures. */
    public val conditions: Map<String, Any>,
) {
    /** The samples in their JSON form. */
    public fun toJson(): JSONObject =
        JSONObject()
            .put("golden_sqnr_db", goldenSqnrDb.orNull())
            .put("load_cold_ms", loadColdMs.orNull())
            .put("load_warm_ms", loadWarmMs.orNull())
            .put("first_ms", firstMs.orNull())
            .put("latencies_ms", JSONArray(latenciesMs.asList()))
            .put("t_ms", JSONArray(startsMs.asList()))
            .put("summary", JSONObject.NULL)
            .put("preprocess_ms", JSONArray(preprocessMs.asList()))
            .put("peak_rss_mb", peakRssMb.orNull())
            .put("thermal_before", thermalBefore.toJson())
            .put("thermal_after", thermalAfter.toJson())
            .put("versions", JSONObject(versions))
            .put("conditions", JSONObject(conditions))
}

/** JSON's null, which `put` would otherwise leave out. */
internal fun Any?.orNull(): Any = this ?: JSONObject.NULL
