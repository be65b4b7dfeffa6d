package io.github.mnv4.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.util.Size
import android.view.View
import io.github.mnv4.core.PreprocessSpec
import kotlin.math.floor
import kotlin.math.min

/** Where a camera's preview lies on the screen: in the middle, as large as all of it fits. */
internal class Viewfinder(
    private val width: Float,
    private val height: Float,
    /** The size of the preview on a display in its natural position. */
    private val natural: Size,
    /** Quarter turns of the display, counterclockwise from its natural position. */
    private val turns: Int,
) {
    private val upright = if (turns % 2 == 0) natural else Size(natural.height, natural.width)
    private val scale = min(width / upright.width, height / upright.height)

    /** The transform of a TextureView, which stretches the preview of the display's natural position over itself. */
    fun matrix(): Matrix {
        val middle = RectF(0f, 0f, natural.width.toFloat(), natural.height.toFloat())
        middle.offset(width / 2 - middle.centerX(), height / 2 - middle.centerY())
        val matrix = Matrix()
        matrix.setRectToRect(RectF(0f, 0f, width, height), middle, Matrix.ScaleToFit.FILL)
        matrix.postScale(scale, scale, width / 2, height / 2)
        matrix.postRotate(-QUARTER * turns, width / 2, height / 2)
        return matrix
    }

    /** The part of the preview that the network sees. */
    fun crop(spec: PreprocessSpec): RectF {
        val ratio =
            min(upright.height / floor(spec.height / spec.crop), upright.width / floor(spec.width / spec.crop))
        val halfWidth = (spec.width * ratio * scale / 2).toFloat()
        val halfHeight = (spec.height * ratio * scale / 2).toFloat()
        return RectF(width / 2 - halfWidth, height / 2 - halfHeight, width / 2 + halfWidth, height / 2 + halfHeight)
    }

    private companion object {
        const val QUARTER = 90f
    }
}

/** Draws the corners of what the network sees. */
internal class CropFrame(
    context: Context,
    attributes: AttributeSet?,
) : View(context, attributes) {
    private val paint =
        Paint(Paint.ANTI_ALIAS_FLAG).apply {
            style = Paint.Style.STROKE
            strokeCap = Paint.Cap.ROUND
            strokeWidth = dp(3f)
            color = context.getColor(R.color.on_overlay)
        }

    /** The crop in this view's pixels; null shows nothing. */
    var crop: RectF? = null
        set(value) {
            field = value
            invalidate()
        }

    override fun onDraw(canvas: Canvas) {
        val around = crop ?: return
        val radius = dp(24f)
        val reach = dp(36f)
        canvas.save()
        // Only the corners of the rounded rectangle are drawn.
        canvas.clipOutRect(around.left + reach, around.top - reach, around.right - reach, around.bottom + reach)
        canvas.clipOutRect(around.left - reach, around.top + reach, around.right + reach, around.bottom - reach)
        canvas.drawRoundRect(around, radius, radius, paint)
        canvas.restore()
    }
}
