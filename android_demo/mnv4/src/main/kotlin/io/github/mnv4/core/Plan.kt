package io.github.mnv4.core

import org.json.JSONException
import org.json.JSONObject

/** How an artifact is measured; the generator's `plan.schema.json` is the norm. */
public data class Plan(
    /** Runs that are not timed, behind the first inference. */
    public val warmup: Int = 10,
    /** Timed runs at least. */
    public val runs: Int = 50,
    /** Timed at least, even if that takes more runs. */
    public val seconds: Double = 2.0,
    /** Sessions: fresh processes. */
    public val repeats: Int = 1,
    /** Before every session but the first one. */
    public val cooldownSeconds: Double = 0.0,
    /** A session begins only at this thermal status or a better one. */
    public val maxThermal: String = "nominal",
    /** Of the runtime. */
    public val threads: Int = 1,
    /** `none`, `fastest`, or numbers of cores; an app cannot pin itself, so only `none` is followed. */
    public val affinity: String = "none",
    /** Of Core ML. */
    public val computeUnit: String = "all",
    /** `p50`, `p90` or `mean`. */
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
            .put("compute_unit", computeUnit)
            .put("statistic", statistic)

    /** Reading of plans. */
    public companion object {
        /** The schema that this version reads. */
        public const val SCHEMA: Int = 1

        private val KEYS =
            Plan()
                .toJson()
                .keys()
                .asSequence()
                .toSet()

        /**
         * Reads a plan.
         *
         * @throws Mnv4Exception.BadPlan an unknown or missing key, or a value that cannot be followed.
         */
        public fun parse(text: String): Plan =
            try {
                val json = JSONObject(text)
                json.keys().forEach { if (it !in KEYS) refuse("$it: unknown key, allowed: ${KEYS.joinToString()}") }
                if (json.getInt("schema") != SCHEMA) {
                    refuse("schema: found ${json.get("schema")}, this version reads $SCHEMA")
                }
                Plan(
                    warmup = json.least("warmup", 0.0).toInt(),
                    runs = json.least("runs", 1.0).toInt(),
                    seconds = json.least("seconds", 0.0),
                    repeats = json.least("repeats", 1.0).toInt(),
                    cooldownSeconds = json.least("cooldown_s", 0.0),
                    maxThermal = json.getString("max_thermal"),
                    threads = json.least("threads", 1.0).toInt(),
                    affinity = json.getString("affinity"),
                    computeUnit = json.getString("compute_unit"),
                    statistic = json.getString("statistic"),
                )
            } catch (error: JSONException) {
                refuse(error.message.orEmpty())
            }

        private fun JSONObject.least(
            key: String,
            least: Double,
        ): Double {
            val found = getDouble(key)
            if (found < least) refuse("$key: found $found, must be $least or more")
            return found
        }

        private fun refuse(what: String): Nothing = throw Mnv4Exception.BadPlan("plan: $what")
    }
}
