package io.github.mnv4.core

import org.json.JSONObject

/** How an artifact is measured; the generator's `plan.schema.json` specifies the JSON form. */
public data class Plan(
    /** Untimed runs after the first inference. */
    public val warmup: Int = 10,
    /** The least number of timed runs. */
    public val runs: Int = 50,
    /** The least time in seconds, even if that takes more runs. */
    public val seconds: Double = 2.0,
    /** Sessions: fresh processes. */
    public val repeats: Int = 1,
    /** The pause before every session but the first one. */
    public val cooldownSeconds: Double = 0.0,
    /** A session begins only at this thermal status or a better one. */
    public val maxThermal: String = "nominal",
    /** Number of runtime threads. */
    public val threads: Int = 1,
    /** `none`, `fastest`, or numbers of cores; an app cannot pin itself, so only `none` is followed. */
    public val affinity: String = "none",
    /** `cpu`, `gpu` or `npu`; null leaves it to the artifact. The runtimes of this library have the CPU. */
    public val unit: String? = null,
    /** Which statistic of a session's latencies is shown first: `p50`, `p90` or `mean`. */
    public val statistic: String = "p50",
) {
    /** The plan in its JSON form. */
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

    /** Reading of plans. */
    public companion object {
        /** The schema that this version reads. */
        public const val SCHEMA: Int = 1

        private val THERMAL = listOf("nominal", "fair", "serious", "critical")
        private val UNITS = listOf("cpu", "gpu", "npu")
        private val STATISTICS = listOf("p50", "p90", "mean")
        private val AFFINITY = Regex("none|fastest|[0-9]+(,[0-9]+)*")

        /**
         * Reads a plan.
         *
         * @throws Mnv4Exception.BadPlan an unknown or missing key, or a value that cannot be followed.
         */
        public fun parse(text: String): Plan = Json.record(text, { Mnv4Exception.BadPlan("plan: $it") }) { plan() }

        internal fun Json.Entries.plan(): Plan {
            schema(SCHEMA)
            return Plan(
                warmup = get("warmup").integer(least = 0),
                runs = get("runs").integer(),
                seconds = get("seconds").number(least = 0.0),
                repeats = get("repeats").integer(),
                cooldownSeconds = get("cooldown_s").number(least = 0.0),
                maxThermal = get("max_thermal").oneOf(THERMAL),
                threads = get("threads").integer(),
                affinity = get("affinity").text(AFFINITY),
                unit = get("unit").orNull { oneOf(UNITS) },
                statistic = get("statistic").oneOf(STATISTICS),
            )
        }
    }
}
