package io.github.mnv4.app

import android.annotation.TargetApi
import android.content.ContentResolver
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Color
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.ImageView
import android.widget.TextView
import io.github.mnv4.Images
import io.github.mnv4.MobileNetV4
import io.github.mnv4.Outputs
import io.github.mnv4.core.Classification
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.PreprocessSpec
import io.github.mnv4.core.Preprocessor
import io.github.mnv4.core.TensorSpec
import io.github.mnv4.core.uprightHeight
import io.github.mnv4.core.uprightWidth
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream

/** A photo, chosen here or shared by another app, classified. */
internal class PhotoActivity : Screen(R.layout.photo) {
    private var shown: Uri? = null
    private var classifying: Job? = null

    private class Found(
        val picture: Bitmap,
        val scores: List<Classification>,
        val times: Outputs.Times,
    )

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        findViewById<View>(R.id.choose).setOnClickListener { startActivityForResult(picker(), 0) }
        findViewById<View>(R.id.picture).clipToOutline = true
        findViewById<View>(R.id.picture).setBackgroundResource(R.drawable.card)
        val kept = savedInstanceState?.getString(SHOWN)?.let(Uri::parse)
        when {
            lacksModels() -> Unit
            kept != null -> show(kept)
            intent.action == Intent.ACTION_SEND -> show(shared())
        }
    }

    /** Returns the address of what another app shared, which must not be one of this app's own files. */
    @TargetApi(Build.VERSION_CODES.UPSIDE_DOWN_CAKE)
    private fun shared(): Uri? {
        val shared =
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE) {
                intent.getParcelableExtra(Intent.EXTRA_STREAM, Uri::class.java)
            } else {
                // Its successor of Android 13 throws there.
                @Suppress("DEPRECATION")
                intent.getParcelableExtra(Intent.EXTRA_STREAM)
            }
        return shared?.takeIf { it.scheme == ContentResolver.SCHEME_CONTENT }
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(SHOWN, shown?.toString())
    }

    /** Android's photo picker, which needs no permission; before Android 13, any app that has pictures. */
    private fun picker(): Intent =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            Intent(MediaStore.ACTION_PICK_IMAGES)
        } else {
            Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE)
        }.setType("image/*")

    override fun onActivityResult(
        requestCode: Int,
        resultCode: Int,
        data: Intent?,
    ) {
        data?.data?.takeIf { resultCode == RESULT_OK }?.let(::show)
    }

    override fun modelChanged() {
        shown?.let(::show)
    }

    private fun show(photo: Uri?) {
        shown = photo
        if (lacksModels()) return
        if (photo == null) return failed(R.string.photo_failed, getString(R.string.photo_missing))
        classifying?.cancel()
        classifying =
            scope.launch {
                try {
                    show(models.use { withContext(Dispatchers.IO) { classify(it, photo) } })
                } catch (error: Mnv4Exception.BadImage) {
                    failed(R.string.photo_failed, getString(R.string.photo_failed_why, error.message))
                } catch (error: Mnv4Exception) {
                    failed(R.string.failed, error.message.orEmpty())
                }
            }
    }

    private fun failed(
        title: Int,
        why: String,
    ) {
        findViewById<View>(R.id.hint).visibility = View.GONE
        findViewById<View>(R.id.picture).visibility = View.GONE
        findViewById<ScoresView>(R.id.scores).show(emptyList())
        findViewById<TextView>(R.id.latency).text = ""
        say(title, why)
    }

    private fun show(found: Found) {
        sayNothing()
        findViewById<View>(R.id.hint).visibility = View.GONE
        val picture = findViewById<ImageView>(R.id.picture)
        picture.visibility = View.VISIBLE
        picture.setImageBitmap(found.picture)
        findViewById<ScoresView>(R.id.scores).show(found.scores)
        findViewById<TextView>(R.id.latency).text =
            getString(R.string.photo_times, found.times.network, found.times.preprocess)
    }

    private suspend fun classify(
        model: MobileNetV4,
        photo: Uri,
    ): Found {
        val picture = open(photo).use(Images::decode)
        val outputs = model.run(picture)
        return Found(small(picture), outputs.top(ROWS), outputs.times)
    }

    private fun open(photo: Uri): InputStream =
        try {
            contentResolver.openInputStream(photo) ?: throw FileNotFoundException("its app gives nothing")
        } catch (error: IOException) {
            throw Mnv4Exception.BadImage("$photo: ${error.message}", error)
        } catch (error: RuntimeException) {
            // SecurityException if the photo is not for this app, and what the photo's app throws arrives here, too.
            throw Mnv4Exception.BadImage("$photo: $error", error)
        }

    /** The upright picture, small enough for the screen. */
    private fun small(picture: PixelSource): Bitmap {
        val step = (maxOf(picture.width, picture.height) + LONGER - 1) / LONGER
        val width = maxOf(1, picture.uprightWidth / step)
        val height = maxOf(1, picture.uprightHeight / step)
        val spec = PreprocessSpec(height, width, 1.0, "bilinear", List(3) { 0f }, List(3) { 1f })
        val input = TensorSpec("image", "image", listOf(1, height, width, 3), "uint8", "nhwc")
        val bytes = Preprocessor(spec, input).resized(picture)
        val pixels = IntArray(width * height) { rgb(bytes, 3 * it) }
        return Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
    }

    private fun rgb(
        bytes: ByteArray,
        at: Int,
    ): Int = Color.rgb(bytes[at].toInt() and 0xff, bytes[at + 1].toInt() and 0xff, bytes[at + 2].toInt() and 0xff)

    private companion object {
        const val SHOWN = "shown"
        const val ROWS = 5
        const val LONGER = 2048
    }
}
