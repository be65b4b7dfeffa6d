package io.github.mnv4.app

import android.app.Activity
import android.app.Dialog
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.os.SystemClock
import android.view.MotionEvent
import android.view.View
import io.github.mnv4.core.Classification
import org.json.JSONObject
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.File

internal const val DAY = "w411dp-h891dp-xhdpi"
internal const val NIGHT = "w411dp-h891dp-night-xhdpi"
internal const val TURNED = "w891dp-h411dp-land-xhdpi"
internal const val TURNED_NIGHT = "w891dp-h411dp-land-night-xhdpi"
internal const val TABLET = "w1280dp-h800dp-land-mdpi"
internal const val CONV = "conv-small-035-96x96-fp32-tflite"
internal val fixtures = File(System.getProperty("mnv4.fixtures")!!)
internal val app: DemoApp get() = RuntimeEnvironment.getApplication() as DemoApp

internal fun choose(id: String) = app.models.choose(app.models.all.first { it.id == id })

/** Lets the main thread work until [done], for a minute at most. */
internal fun await(done: () -> Boolean) {
    val end = System.nanoTime() + 60e9.toLong()
    while (!done() && System.nanoTime() < end) letMainWork()
    check(done()) { "it did not happen" }
}

internal fun letMainWork() {
    shadowOf(Looper.getMainLooper()).idle()
    Thread.sleep(1)
}

/** Keeps what a window shows: what the documentation has is made of these. */
internal fun keep(
    name: String,
    vararg layers: View,
): File {
    shadowOf(Looper.getMainLooper()).idle()
    // It is drawn by the GPU only, and leaves a hole elsewhere.
    layers[0].findViewById<View?>(R.id.preview)?.visibility = View.INVISIBLE
    val night = layers[0].resources.getBoolean(R.bool.day).not()
    val screen = layers[0]
    val bitmap = Bitmap.createBitmap(screen.width, screen.height, Bitmap.Config.ARGB_8888)
    val canvas = Canvas(bitmap)
    screen.draw(canvas)
    for (dialog in layers.drop(1)) {
        canvas.drawColor(0x99000000.toInt())
        canvas.translate((screen.width - dialog.width) / 2f, (screen.height - dialog.height) / 2f)
        dialog.draw(canvas)
    }
    val file = File(fixtures, "screens/$name-${if (night) "night" else "day"}.png")
    file.parentFile!!.mkdirs()
    file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    return file
}

internal val Activity.screen: View get() = window.decorView
internal val Dialog.screen: View get() = window!!.decorView

/** Moves two fingers on a screen from one distance to another, in pixels. */
internal fun pinch(
    activity: Activity,
    from: Float,
    to: Float,
) {
    val properties = Array(2) { i -> MotionEvent.PointerProperties().apply { id = i } }
    val begin = SystemClock.uptimeMillis()

    fun touch(
        action: Int,
        fingers: Int,
        distance: Float,
        after: Int,
    ) {
        val places =
            Array(2) { i ->
                MotionEvent.PointerCoords().apply {
                    x = activity.screen.width / 2f + (i - 0.5f) * distance
                    y = activity.screen.height / 4f
                    size = 1f
                    pressure = 1f
                }
            }
        val event =
            MotionEvent.obtain(begin, begin + after, action, fingers, properties, places, 0, 0, 1f, 1f, 0, 0, 0, 0)
        activity.dispatchTouchEvent(event)
        event.recycle()
    }

    val second = 1 shl MotionEvent.ACTION_POINTER_INDEX_SHIFT
    touch(MotionEvent.ACTION_DOWN, 1, from, 0)
    touch(MotionEvent.ACTION_POINTER_DOWN or second, 2, from, 10)
    for (step in 0..20) touch(MotionEvent.ACTION_MOVE, 2, from + (to - from) * step / 20, 20 + 16 * step)
    touch(MotionEvent.ACTION_POINTER_UP or second, 2, to, 400)
    touch(MotionEvent.ACTION_UP, 1, to, 410)
    shadowOf(Looper.getMainLooper()).idle()
}

/** What `mnv4 predict` finds in a picture of the fixtures. */
internal fun expected(
    bundle: String,
    picture: String,
): Classification {
    val rows = JSONObject(File(fixtures, "expected.json").readText()).getJSONArray(bundle)
    val row = (0 until rows.length()).map(rows::getJSONObject).first { it.getString("picture") == picture }
    val first = row.getJSONArray("top").getJSONObject(0)
    return Classification(
        first.getInt("index"),
        first.getString("label"),
        first.getDouble("probability").toFloat(),
    )
}
