package io.github.mnv4.measure

import org.json.JSONArray
import org.json.JSONObject

/** The thermal state of a device, as far as the device reports it. */
public data class Thermal(
    /** `nominal`, `fair`, `serious` or `critical`; null if the device does not report it. */
    public val status: String? = null,
    /** The temperature of the hottest sensor; null if the device does not report it. */
    public val celsius: Double? = null,
) {
    internal fun toJson(): JSONObject = JSONObject().put("status", status.orNull()).put("celsius", celsius.orNull())
}

/** The samples of one session, in milliseconds and MiB: `samples` of the generator's `measurement.schema.json`. */
public class Samples(
    /** The SQNR in dB of the worst output against the golden pair. */
    public val goldenSqnrDb: Double?,
    /** The time of loading in a fresh process. */
    public val loadColdMs: Double?,
    /** The time of loading once more in the same process. */
    public val loadWarmMs: Double?,
    /** The time of the first inference in a fresh process. */
    public val firstMs: Double?,
    /** The latencies of the timed runs. */
    public val latenciesMs: DoubleArray,
    /** When each timed run began, counted from the first one. */
    public val startsMs: DoubleArray,
    /** The times from the pixels of a decoded image to the input, which the latencies do not include. */
    public val preprocessMs: DoubleArray,
    /** The peak memory of a process that loaded and ran the artifact once. */
    public val peakRssMb: Double?,
    /** The units that ran any operator: `cpu`, `gpu` or `npu`; empty if the runtime does not say. */
    public val ranOn: List<String>,
    /** The thermal state before the network was loaded. */
    public val thermalBefore: Thermal,
    /** The thermal state after the last run. */
    public val thermalAfter: Thermal,
    /** Versions; `runtime` has the name and version of the runtime. */
    public val versions: Map<String, String>,
    /** Other conditions that affect the figures. */
    public val conditions: Map<String, Any>,
) {
    /** Returns the samples in their JSON form. */
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
            .put("ran_on", JSONArray(ranOn))
            .put("thermal_before", thermalBefore.toJson())
            .put("thermal_after", thermalAfter.toJson())
            .put("versions", JSONObject(versions))
            .put("conditions", JSONObject(conditions))
}

/** Returns JSON's null for null, because `put` would leave the key out. */
internal fun Any?.orNull(): Any = this ?: JSONObject.NULL
