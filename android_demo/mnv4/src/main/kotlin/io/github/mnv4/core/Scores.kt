package io.github.mnv4.core

import kotlin.math.exp
import kotlin.math.log10

/** A class, with its probability for an image. */
public data class Classification(
    /** The index of the class, from 0. */
    public val index: Int,
    /** The class's name; its index if the bundle has no labels. */
    public val label: String,
    /** The probability, from 0 to 1. */
    public val probability: Float,
)

/** Arithmetic on the scores of classes. */
public object Scores {
    /** Returns the probabilities for logits. */
    public fun softmax(logits: FloatArray): FloatArray {
        val most = logits.max()
        val sum = logits.sumOf { exp((it - most).toDouble()) }
        return FloatArray(logits.size) { (exp((logits[it] - most).toDouble()) / sum).toFloat() }
    }

    /**
     * Returns the [count] most probable classes, the most probable first; equal ones are ordered by index.
     *
     * @param labels the name of each class; null if their indices are their names.
     * @param threshold the lowest probability that is returned.
     * @param allow the labels that are returned; null for all.
     */
    public fun top(
        probabilities: FloatArray,
        count: Int,
        labels: List<String>?,
        threshold: Float = 0f,
        allow: Set<String>? = null,
    ): List<Classification> {
        fun label(index: Int) = labels?.get(index) ?: index.toString()
        // Insert into the few that are kept, because sorting a thousand classes would box them all.
        val kept = IntArray(count.coerceIn(0, probabilities.size))
        var size = 0
        for (index in probabilities.indices) {
            if (probabilities[index] < threshold || (allow != null && label(index) !in allow)) continue
            var place = size
            while (place > 0 && probabilities[kept[place - 1]] < probabilities[index]) place--
            if (place == kept.size) continue
            kept.copyInto(kept, place + 1, place, minOf(size, kept.size - 1))
            kept[place] = index
            if (size < kept.size) size++
        }
        return kept.take(size).map { Classification(it, label(it), probabilities[it]) }
    }

    /**
     * Returns the signal to quantization noise ratio in dB of [found] against [expected]: 200, the
     * most that is reported, if they are equal, and -200 if a value is not finite.
     */
    public fun sqnrDb(
        expected: FloatArray,
        found: FloatArray,
    ): Double {
        var signal = 0.0
        var noise = 0.0
        for (i in expected.indices) {
            val difference = expected[i].toDouble() - found[i]
            signal += expected[i].toDouble() * expected[i]
            noise += difference * difference
        }
        return when {
            noise == 0.0 -> EXACT_DB
            !noise.isFinite() -> -EXACT_DB
            else -> (10 * log10(signal / noise)).coerceIn(-EXACT_DB, EXACT_DB)
        }
    }

    private const val EXACT_DB = 200.0
}
