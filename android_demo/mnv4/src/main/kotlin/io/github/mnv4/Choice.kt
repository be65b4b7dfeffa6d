package io.github.mnv4

/** What [Accelerator.Auto] found out about a unit. */
public enum class Verdict {
    /** It is right, and takes the least time. */
    Fastest,

    /** It is right, and another one takes less time. */
    Slower,

    /** An output missed the accuracy that the bundle's golden images demand. */
    Wrong,

    /** One image gave different outputs in different runs. */
    Flaky,

    /** The device or the app does not have it, it does not take all of the network, or its runtime failed. */
    Failed,

    /** It did not answer in time. Its thread is left alone, because nothing can end it. */
    Hung,

    /** The app ended while trying it, twice. */
    Crashed,
}

/** What was found out about one unit. */
public class Finding(
    /** The unit, which is not [Accelerator.Auto]. */
    public val unit: Accelerator,
    /** The outcome. */
    public val verdict: Verdict,
    /** The median of the timed runs in milliseconds; null unless all of them were right. */
    public val medianMs: Double?,
    /** The reason in English. */
    public val text: String,
)

/** The unit that runs a network, and why the others do not. */
public class Choice internal constructor(
    /** The unit that runs it, which is not [Accelerator.Auto]. */
    public val unit: Accelerator,
    /** What was found out about each unit, in the order of [Accelerator]; empty if [Options] named the unit. */
    public val findings: List<Finding>,
    /** Whether an earlier opening found it out. */
    public val remembered: Boolean,
) {
    /** Returns a line in English with a reason for each unit. */
    override fun toString(): String {
        val (runs, others) = findings.partition { it.unit == unit }
        return "runs on the ${unit.shown}" + runs.joinToString("") { ": ${it.text}" } +
            others.joinToString("") { ". Not on the ${it.unit.shown}: ${it.text}" }
    }
}

/** A unit's name in texts. */
internal val Accelerator.shown: String get() = name.uppercase()
