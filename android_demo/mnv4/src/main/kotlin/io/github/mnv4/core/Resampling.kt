package io.github.mnv4.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

/**
 * The weights with which [from] values of a line become [to] values.
 *
 * This is Pillow's antialiased resize in fixed point. `mnv4_mobile/images.py` specifies it, and its
 * golden cases test it. Value `i` is computed from the values from `starts[i]` on.
 */
internal class Resampling(
    from: Int,
    to: Int,
    interpolation: String,
) {
    val starts: IntArray
    val counts: IntArray

    /** The weights, [stride] for each value, scaled by 2^22. */
    val weights: IntArray
    val stride: Int

    init {
        if (from == to) {
            starts = IntArray(to) { it }
            counts = IntArray(to) { 1 }
            stride = 1
            weights = IntArray(to) { ONE }
        } else if (interpolation == "nearest") {
            val scale = from.toDouble() / to
            var position = scale / 2
            starts =
                IntArray(to) {
                    val start = floor(position).toInt()
                    position += scale
                    min(start, from - 1)
                }
            counts = IntArray(to) { 1 }
            stride = 1
            weights = IntArray(to) { ONE }
        } else {
            val (radius, kernel) = kernel(interpolation)
            val scale = from.toDouble() / to
            val spread = max(scale, 1.0)
            val reach = radius * spread
            stride = Math.ceil(reach).toInt() * 2 + 1
            starts = IntArray(to)
            counts = IntArray(to)
            weights = IntArray(to * stride)
            val raw = DoubleArray(stride)
            for (i in 0 until to) {
                val centre = (i + 0.5) * scale
                val start = floor(max(centre - reach + 0.5, 0.0)).toInt()
                val end = min(floor(centre + reach + 0.5).toInt(), from)
                var sum = 0.0
                for (j in start until end) {
                    raw[j - start] = kernel((j - centre + 0.5) * (1 / spread))
                    sum += raw[j - start]
                }
                starts[i] = start
                counts[i] = end - start
                for (k in 0 until end - start) weights[i * stride + k] = fixed(if (sum != 0.0) raw[k] / sum else raw[k])
            }
        }
    }

    companion object {
        const val SHIFT = 22
        const val ONE = 1 shl SHIFT
        const val HALF = 1 shl (SHIFT - 1)

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
