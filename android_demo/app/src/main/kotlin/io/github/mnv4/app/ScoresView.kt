package io.github.mnv4.app

import android.content.Context
import android.util.AttributeSet
import android.view.Gravity
import android.view.View
import android.view.accessibility.AccessibilityNodeInfo
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
        while (childCount < scores.size) addView(Row(context, first = childCount == 0))
        while (childCount > scores.size) removeViewAt(childCount - 1)
        scores.forEachIndexed { i, score -> (getChildAt(i) as Row).show(score) }
    }

    private class Row(
        context: Context,
        first: Boolean,
    ) : LinearLayout(context) {
        private val label: TextView
        private val percent: TextView
        private val bar: ProgressBar
        private var spoken = ""

        init {
            gravity = Gravity.CENTER_VERTICAL
            isFocusable = true
            inflate(context, R.layout.score_row, this)
            label = findViewById(R.id.label)
            percent = findViewById(R.id.percent)
            bar = findViewById(R.id.bar)
            minimumHeight = dp(if (first) FIRST_DP else OTHER_DP).roundToInt()
            if (first) {
                accessibilityLiveRegion = ACCESSIBILITY_LIVE_REGION_POLITE
                label.setTextAppearance(R.style.Text_First)
            }
        }

        fun show(score: Classification) {
            val hundredths = score.probability * PERCENT
            spoken = resources.getString(R.string.score_spoken, score.label, hundredths)
            percent.text = resources.getString(R.string.percent, hundredths)
            bar.progress = (score.probability * bar.max).roundToInt()
            // A change of the description is announced: that of the class, not that of every frame's percentage.
            if (contentDescription == null || label.text.toString() != score.label) contentDescription = spoken
            label.text = score.label
        }

        /** Tells a screen reader what the row shows now. */
        override fun onInitializeAccessibilityNodeInfo(info: AccessibilityNodeInfo) {
            super.onInitializeAccessibilityNodeInfo(info)
            info.contentDescription = spoken
        }
    }

    private companion object {
        const val PERCENT = 100
        const val FIRST_DP = 48f
        const val OTHER_DP = 32f
    }
}

/** Pixels of a length in dp. */
internal fun View.dp(length: Float): Float = length * resources.displayMetrics.density
