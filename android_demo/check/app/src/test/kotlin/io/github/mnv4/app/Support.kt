package io.github.mnv4.app

import android.app.Activity
import android.app.Dialog
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.ImageFormat
import android.media.Image
import android.os.Looper
import android.view.View
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.File
import java.nio.ByteBuffer
import kotlin.math.roundToInt

internal const val DAY = "w411dp-h891dp-xhdpi"
internal const val NIGHT = "w411dp-h891dp-night-xhdpi"
internal const val TURNED = "w891dp-h411dp-land-xhdpi"
internal const val TURNED_NIGHT = "w891dp-h411dp-land-night-xhdpi"
internal const val CONV = "conv-small-035-96x96-fp32-tflite"
internal val fixtures = File(System.getProperty("mnv4.fixtures")!!)
internal val app: DemoApp get() = RuntimeEnvironment.getApplication() as DemoApp

internal fun choose(id: String) = app.models.choose(app.models.all.first { it.id == id })

/** Lets the main thread work until [done], for minutes at most. */
internal fun await(done: () -> Boolean) {
    val end = System.nanoTime() + 300e9.toLong()
    while (!done() && System.nanoTime() < end) {
        shadowOf(Looper.getMainLooper()).idle()
        Thread.sleep(20)
    }
    check(done()) { "it did not happen" }
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

/** A camera's frame that shows a picture, as a sensor that lies on its side gives it. */
internal class Frame(
    picture: Bitmap,
) : Image() {
    // Turned counterclockwise by 90 degrees: (x, y) of the frame is (width - 1 - y, x) upright.
    private val wide = picture.height / 2 * 2
    private val high = picture.width / 2 * 2
    private val luma = ByteArray(wide * high)
    private val chroma = ByteArray(wide * high / 2)

    init {
        mIsImageValid = true
        val pixels = IntArray(picture.width * picture.height)
        picture.getPixels(pixels, 0, picture.width, 0, 0, picture.width, picture.height)
        for (y in 0 until high) {
            for (x in 0 until wide) {
                val pixel = pixels[x * picture.width + high - 1 - y]
                val r = pixel shr 16 and 0xff
                val g = pixel shr 8 and 0xff
                val b = pixel and 0xff
                luma[y * wide + x] = (0.299 * r + 0.587 * g + 0.114 * b).roundToInt().toByte()
                val place = y / 2 * wide + x / 2 * 2
                chroma[place] = (128 - 0.168736 * r - 0.331264 * g + 0.5 * b).roundToInt().coerceAtMost(255).toByte()
                chroma[place + 1] =
                    (128 + 0.5 * r - 0.418688 * g - 0.081312 * b).roundToInt().coerceAtMost(255).toByte()
            }
        }
    }

    private class Of(
        private val bytes: ByteBuffer,
        private val row: Int,
        private val pixel: Int,
    ) : Plane() {
        override fun getRowStride() = row

        override fun getPixelStride() = pixel

        override fun getBuffer() = bytes
    }

    override fun getFormat() = ImageFormat.YUV_420_888

    override fun getWidth() = wide

    override fun getHeight() = high

    override fun getTimestamp() = 0L

    override fun getTransform() = 0

    override fun getScalingMode() = 0

    override fun getPlanes(): Array<Plane> {
        val red = ByteBuffer.wrap(chroma, 1, chroma.size - 1).slice()
        return arrayOf(Of(ByteBuffer.wrap(luma), wide, 1), Of(ByteBuffer.wrap(chroma), wide, 2), Of(red, wide, 2))
    }

    override fun close() = Unit
}
