package io.github.mnv4.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import io.github.mnv4.measure.Statistics

/**
 * How samples are spread: a histogram, with the median and the ninetieth percentile marked.
 *
 * It ends at the 99th percentile: a single late sample would squeeze all others into one bar.
 */
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
            val width = span(found) / BINS
            for (sample in samples) {
                val bin = ((sample - found.min) / width).toInt()
                if (sample <= end(found)) counts[bin.coerceAtMost(BINS - 1)]++
            }
            contentDescription =
                resources.getQuantityString(
                    R.plurals.spread_spoken,
                    found.count,
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
        val highest = counts.max().toFloat()
        val bin = width.toFloat() / BINS
        for (i in counts.indices) {
            val top = base - (base - above) * counts[i] / highest
            canvas.drawRoundRect(i * bin + dp(1f), top, (i + 1) * bin - dp(1f), base, dp(2f), dp(2f), bars)
        }
        canvas.drawLine(0f, base, width.toFloat(), base, axis)
        marks(canvas, found, base, above)
        val y = height - text.textSize * 0.3f
        canvas.drawText(resources.getString(R.string.milliseconds, found.min), 0f, y, text)
        val last = resources.getString(R.string.axis_end, end(found))
        canvas.drawText(last, width - text.measureText(last), y, text)
    }

    private fun end(found: Statistics) = found.percentile(END)

    private fun span(found: Statistics) = (end(found) - found.min).coerceAtLeast(1e-9)

    /** Draws the percentiles; their names lie apart even if they do not. */
    private fun marks(
        canvas: Canvas,
        found: Statistics,
        base: Float,
        above: Float,
    ) {
        var left = 0f
        for (percent in listOf(50.0, 90.0)) {
            val x = ((found.percentile(percent) - found.min) / span(found) * width).toFloat()
            canvas.drawLine(x, above, x, base, marks)
            val name = resources.getString(R.string.percentile, percent)
            val wide = text.measureText(name)
            val at = (x - wide / 2).coerceAtMost(width - wide).coerceAtLeast(left)
            canvas.drawText(name, at, above - text.textSize * 0.5f, text)
            left = at + wide + dp(6f)
        }
    }

    private companion object {
        const val BINS = 32
        const val END = 99.0
        const val SMALL_SP = 13f
    }
}
