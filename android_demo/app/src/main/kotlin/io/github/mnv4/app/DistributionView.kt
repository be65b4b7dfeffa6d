package io.github.mnv4.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import io.github.mnv4.measure.Statistics

/** How samples are spread: a histogram, with the median and the ninetieth percentile marked. */
internal class DistributionView(
    context: Context,
    attributes: AttributeSet?,
) : View(context, attributes) {
    private var statistics: Statistics? = null
    private var counts = IntArray(BINS)
    private val bars = paint(R.color.primary)
    private val axis = paint(R.color.outline).apply { strokeWidth = dp(1f) }
    private val marks = paint(R.color.text).apply { strokeWidth = dp(2f) }
    private val text =
        paint(R.color.text_quiet).apply {
            textSize = SMALL_SP * resources.configuration.fontScale * resources.displayMetrics.density
            fontFeatureSettings = "tnum"
        }

    private fun paint(colour: Int) = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(colour) }

    /** Milliseconds. */
    fun show(samples: DoubleArray) {
        val found = Statistics.of(samples)
        statistics = found
        counts = IntArray(BINS)
        if (found != null) {
            val width = (found.max - found.min).coerceAtLeast(1e-9) / BINS
            for (sample in samples) counts[((sample - found.min) / width).toInt().coerceAtMost(BINS - 1)]++
            contentDescription =
                resources.getString(
                    R.string.spread_spoken,
                    found.count,
                    found.percentile(50.0),
                    found.percentile(90.0),
                    found.min,
                    found.max,
                )
        }
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val found = statistics ?: return
        val above = text.textSize * 1.6f
        val base = height - text.textSize * 1.6f
        val most = counts.max().toFloat()
        val bin = width.toFloat() / BINS
        for (i in counts.indices) {
            val top = base - (base - above) * counts[i] / most
            canvas.drawRoundRect(i * bin + dp(1f), top, (i + 1) * bin - dp(1f), base, dp(2f), dp(2f), bars)
        }
        canvas.drawLine(0f, base, width.toFloat(), base, axis)
        mark(canvas, found, 50.0, base, above)
        mark(canvas, found, 90.0, base, above)
        val y = height - text.textSize * 0.3f
        label(canvas, found.min, 0f, y)
        label(canvas, found.max, width.toFloat(), y)
    }

    private fun mark(
        canvas: Canvas,
        found: Statistics,
        percent: Double,
        base: Float,
        above: Float,
    ) {
        val span = (found.max - found.min).coerceAtLeast(1e-9)
        val x = ((found.percentile(percent) - found.min) / span * width).toFloat()
        canvas.drawLine(x, above, x, base, marks)
        centred(canvas, "p${percent.toInt()}", x, above - text.textSize * 0.5f)
    }

    private fun label(
        canvas: Canvas,
        value: Double,
        x: Float,
        y: Float,
    ) = centred(canvas, resources.getString(R.string.milliseconds, value), x, y)

    /** Around [x], but inside the view. */
    private fun centred(
        canvas: Canvas,
        words: String,
        x: Float,
        y: Float,
    ) {
        val wide = text.measureText(words)
        canvas.drawText(words, (x - wide / 2).coerceIn(0f, width - wide), y, text)
    }

    private companion object {
        const val BINS = 32
        const val SMALL_SP = 13f
    }
}
