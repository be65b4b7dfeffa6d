package io.github.mnv4.measure

import kotlin.math.floor
import kotlin.math.sqrt

/** The statistics of a session's samples, as `mnv4_mobile/measuring/results/statistics.py` specifies. */
public class Statistics private constructor(
    private val sorted: DoubleArray,
) {
    /** The number of samples. */
    public val count: Int get() = sorted.size

    /** The mean of all samples. */
    public val mean: Double = sorted.average()

    /** The smallest sample. */
    public val min: Double get() = sorted.first()

    /** The largest sample. */
    public val max: Double get() = sorted.last()

    /** The sample standard deviation over the mean; null for a single sample, or if the mean is 0. */
    public val variation: Double? =
        if (sorted.size < 2 || mean == 0.0) {
            null
        } else {
            sqrt(sorted.sumOf { (it - mean) * (it - mean) } / (sorted.size - 1)) / mean
        }

    /** Returns a percentile, interpolated linearly between the two nearest samples. */
    public fun percentile(percent: Double): Double {
        val position = (sorted.size - 1) * percent / 100
        val below = floor(position).toInt()
        val above = minOf(below + 1, sorted.lastIndex)
        return sorted[below] + (sorted[above] - sorted[below]) * (position - below)
    }

    /** Makes statistics. */
    public companion object {
        /** Returns the statistics of samples in any order; null if there are none. */
        public fun of(samples: DoubleArray): Statistics? =
            if (samples.isEmpty()) null else Statistics(samples.sortedArray())
    }
}
