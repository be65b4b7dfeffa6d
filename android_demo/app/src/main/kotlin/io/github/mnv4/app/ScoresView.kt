package io.github.mnv4.app

import android.content.Context
import android.util.AttributeSet
import android.view.Gravity
import android.view.View
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import io.github.mnv4.core.Classification
import kotlin.math.roundToInt

/** The most probable classes, the first one large. */
internal class ScoresView(
    context: Context,
    attributes: AttributeSet?,
) : LinearLayout(context, attributes) {
    init {
        orientation = VERTICAL
    }

    fun show(scores: List<Classification>) {
        while (childCount < scores.size) addView(row())
        while (childCount > scores.size) removeViewAt(childCount - 1)
        scores.forEachIndexed { i, score -> fill(getChildAt(i), score) }
    }

    private fun row(): View {
        val row = LinearLayout(context)
        row.gravity = Gravity.CENTER_VERTICAL
        row.isFocusable = true
        inflate(context, R.layout.score_row, row)
        val first = childCount == 0
        row.minimumHeight = dp(if (first) FIRST_DP else OTHER_DP).roundToInt()
        if (first) {
            row.accessibilityLiveRegion = ACCESSIBILITY_LIVE_REGION_POLITE
            row.findViewById<TextView>(R.id.label).setTextAppearance(R.style.Text_First)
        }
        return row
    }

    private fun fill(
        row: View,
        score: Classification,
    ) {
        val percent = score.probability * PERCENT
        val label = row.findViewById<TextView>(R.id.label)
        // What is announced changes with the class, not with every frame.
        if (label.text.toString() != score.label || row.contentDescription == null) {
            label.text = score.label
            row.contentDescription = resources.getString(R.string.score_spoken, score.label, percent)
        }
        row.findViewById<TextView>(R.id.percent).text = resources.getString(R.string.percent, percent)
        row.findViewById<ProgressBar>(R.id.bar).let { it.progress = (score.probability * it.max).roundToInt() }
    }

    private companion object {
        const val PERCENT = 100
        const val FIRST_DP = 48f
        const val OTHER_DP = 32f
    }
}

/** Pixels of a length in dp. */
internal fun View.dp(length: Float): Float = length * resources.displayMetrics.density
