package io.github.mnv4.core

import io.github.mnv4.core.Plan.Companion.plan

/** What `mnv4 measure` asks an app for: one session of one bundle. */
public class Job(
    /** A UUID, by which the result is known. */
    public val id: String,
    /** Name of the bundle's folder, beside the job's file. */
    public val bundle: String,
    /** How it is measured. */
    public val plan: Plan,
) {
    /** Reading of jobs. */
    public companion object {
        /** The schema that this version reads. */
        public const val SCHEMA: Int = 1

        private val UUID = Regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

        /**
         * Reads a job.
         *
         * @throws Mnv4Exception.BadPlan an unknown or missing key, or a value that cannot be followed.
         */
        public fun parse(text: String): Job =
            Json.record(text, { Mnv4Exception.BadPlan("job.json: $it") }) {
                schema(SCHEMA)
                Job(get("id").text(UUID), get("bundle").text(BUNDLE_ID), get("plan").record { plan() })
            }
    }
}
