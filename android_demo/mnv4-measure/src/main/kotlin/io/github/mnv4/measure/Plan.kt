package io.github.mnv4.measure

import io.github.mnv4.core.Json
import org.json.JSONObject

/** How an artifact is measured; the generator's `plan.schema.json` specifies the JSON form. */
public data class Plan(
    /** The number of untimed runs after the first inference. */
    public val warmup: Int = 10,
    /** The least number of timed runs. */
    public val runs: Int = 50,
    /** The least time of the timed runs in seconds, even if that takes more runs. */
    public val seconds: Double = 2.0,
    /** The number of sessions, each in a fresh process. */
    public val repeats: Int = 1,
    /** The pause in seconds before every session but the first one. */
    public val cooldownSeconds: Double = 0.0,
    /** A session begins only at this thermal status or a better one. */
    public val maxThermal: String = "nominal",
    /** The number of runtime threads. */
    public val threads: Int = 1,
    /** `none`, `fastest`, or numbers of cores; an app cannot pin itself, so only `none` is supported. */
    public val affinity: String = "none",
    /** `cpu`, `gpu` or `npu`; null stands for the NPU if the artifact was compiled for one, else for the CPU. */
    public val unit: String? = null,
    /** Which statistic of a session's latencies is shown first: `p50`, `p90` or `mean`. */
    public val statistic: String = "p50",
) {
    /** Returns the plan in its JSON form. */
    public fun toJson(): JSONObject =
        JSONObject()
            .put("schema", SCHEMA)
            .put("warmup", warmup)
            .put("runs", runs)
            .put("seconds", seconds)
            .put("repeats", repeats)
            .put("cooldown_s", cooldownSeconds)
            .put("max_thermal", maxThermal)
            .put("threads", threads)
            .put("affinity", affinity)
            .put("unit", unit.orNull())
            .put("statistic", statistic)

    /** Reads plans. */
    public companion object {
        /** The schema that this version reads. */
        public const val SCHEMA: Int = 1

        private val THERMAL = listOf("nominal", "fair", "serious", "critical")
        private val UNITS = listOf("cpu", "gpu", "npu")
        private val STATISTICS = listOf("p50", "p90", "mean")
        private val AFFINITY = Regex("none|fastest|[0-9]{1,4}(,[0-9]{1,4})*")
        private const val MOST_SECONDS = 1e6
        private const val MOST_REPEATS = 10_000L
        private const val MOST_THREADS = 1024L

        /**
         * Reads a plan.
         *
         * @throws BadPlan if a key is unknown or missing, or a value is not supported.
         */
        public fun parse(text: String): Plan = Json.record(text, { BadPlan("plan: $it") }) { plan() }

        internal fun Json.Entries.plan(): Plan {
            schema(SCHEMA)
            return Plan(
                warmup = get("warmup").integer(least = 0),
                runs = get("runs").integer(),
                seconds = get("seconds").number(0.0, MOST_SECONDS),
                repeats = get("repeats").integer(1, MOST_REPEATS).toInt(),
                cooldownSeconds = get("cooldown_s").number(0.0, MOST_SECONDS),
                maxThermal = get("max_thermal").oneOf(THERMAL),
                threads = get("threads").integer(1, MOST_THREADS).toInt(),
                affinity = get("affinity").text(AFFINITY),
                unit = get("unit").orNull { oneOf(UNITS) },
                statistic = get("statistic").oneOf(STATISTICS),
            )
        }
    }
}
