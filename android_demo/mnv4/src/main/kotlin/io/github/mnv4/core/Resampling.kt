package io.github.mnv4.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

/**
 * Filters one side of an image: [from] values become [to], and [count] of these, from [left] on, are kept.
 *
 * This is Pillow's antialiased resize in fixed point. `mnv4_mobile/images.py` specifies it, and its
 * golden cases test it. A reversed side is stored from its end to its start: its windows and weights
 * are mirrored, so that the result is the same, also in its last bit.
 */
internal class Resampling(
    from: Int,
    to: Int,
    interpolation: String,
    left: Int,
    val count: Int,
    reversed: Boolean,
) {
    /** The first of the [length] stored values that are needed. */
    val first: Int
    val length: Int

    /** Result `i` is computed from the needed values from `starts[i]` to before `ends[i]`. */
    val starts = IntArray(count)
    val ends: IntArray

    /** How many results need the same value, at most. */
    val overlap: Int

    /** The weights of each result. */
    private val windows: Array<IntArray>

    init {
        windows = windows(from, to, interpolation, left)
        if (reversed) {
            for (i in 0 until count) starts[i] = from - starts[i] - windows[i].size
            starts.reverse()
            windows.reverse()
            windows.forEach(IntArray::reverse)
        }
        first = starts[0]
        for (i in 0 until count) starts[i] -= first
        ends = IntArray(count) { starts[it] + windows[it].size }
        length = ends[count - 1]
        overlap = (0 until count).maxOf { i -> (i until count).count { starts[it] < ends[i] } }
    }

    /** Returns the weights of each result, and writes where its window starts. */
    private fun windows(
        from: Int,
        to: Int,
        interpolation: String,
        left: Int,
    ): Array<IntArray> {
        val scale = from.toDouble() / to
        if (from == to || interpolation == "nearest") {
            var position = scale / 2
            for (i in 0 until left + count) {
                if (i >= left) starts[i - left] = min(floor(position).toInt(), from - 1)
                position += scale
            }
            return Array(count) { intArrayOf(ONE) }
        }
        val (radius, kernel) = kernel(interpolation)
        val spread = max(scale, 1.0)
        val reach = radius * spread
        return Array(count) { i ->
            val centre = (left + i + 0.5) * scale
            val start = floor(max(centre - reach + 0.5, 0.0)).toInt()
            val end = min(floor(centre + reach + 0.5).toInt(), from)
            starts[i] = start
            val window = DoubleArray(end - start) { kernel((start + it - centre + 0.5) * (1 / spread)) }
            var sum = 0.0
            for (weight in window) sum += weight
            IntArray(window.size) { fixed(if (sum != 0.0) window[it] / sum else window[it]) }
        }
    }

    /** Returns the weight of a needed value for a result that it belongs to. */
    fun weight(
        result: Int,
        value: Int,
    ): Int = windows[result][value - starts[result]]

    companion object {
        private const val SHIFT = 22
        private const val ONE = 1 shl SHIFT
        const val HALF = 1 shl (SHIFT - 1)

        /** Replaces sums of weighted bytes, which began with [HALF], by bytes. */
        fun round(sums: IntArray) {
            for (x in sums.indices) sums[x] = clip(sums[x] shr SHIFT)
        }

        /** Limits a value to 0..255, without a branch, so that loops over arrays become vector instructions. */
        fun clip(value: Int): Int = (value and (value shr 31).inv() or (255 - value shr 31)) and 255

        /** Rounds to fixed point, halves away from zero. */
        private fun fixed(weight: Double): Int = (weight * ONE + if (weight < 0) -0.5 else 0.5).toInt()

        private fun kernel(interpolation: String): Pair<Double, (Double) -> Double> =
            when (interpolation) {
                "bilinear" -> 1.0 to { x -> max(1 - abs(x), 0.0) }
                "bicubic" -> 2.0 to ::bicubic
                "lanczos" -> 3.0 to { x -> if (abs(x) < 3) sinc(x) * sinc(x / 3) else 0.0 }
                else -> throw Mnv4Exception.BadBundle(
                    "manifest.json: preprocess.interpolation: found '$interpolation', " +
                        "allowed: nearest, bilinear, bicubic, lanczos",
                )
            }

        private fun bicubic(at: Double): Double {
            val x = abs(at)
            return when {
                x < 1 -> (1.5 * x - 2.5) * x * x + 1
                x < 2 -> ((-0.5 * x + 2.5) * x - 4) * x + 2
                else -> 0.0
            }
        }

        private fun sinc(x: Double): Double = if (x == 0.0) 1.0 else sin(PI * x) / (PI * x)
    }
}
