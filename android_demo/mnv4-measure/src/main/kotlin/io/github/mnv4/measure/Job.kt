package io.github.mnv4.measure

import io.github.mnv4.core.BUNDLE_ID
import io.github.mnv4.core.Json
import io.github.mnv4.measure.Plan.Companion.plan

/** A request of `mnv4 measure` to an app: one session of one bundle. */
public class Job(
    /** A UUID, which the result repeats. */
    public val id: String,
    /** Name of the bundle's folder, which is next to the job's file. */
    public val bundle: String,
    /** How it is measured. */
    public val plan: Plan,
) {
    /** Reads jobs. */
    public companion object {
        /** The schema that this version reads. */
        public const val SCHEMA: Int = 1

        private val UUID = Regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

        /**
         * Reads a job.
         *
         * @throws BadPlan if a key is unknown or missing, or a value is not supported.
         */
        public fun parse(text: String): Job =
            Json.record(text, { BadPlan("job.json: $it") }) {
                schema(SCHEMA)
                Job(get("id").text(UUID), get("bundle").text(BUNDLE_ID), get("plan").record { plan() })
            }
    }
}
