package io.github.mnv4.app

import android.Manifest
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.SurfaceTexture
import android.media.Image
import android.net.Uri
import android.os.Bundle
import android.os.SystemClock
import android.provider.Settings
import android.view.TextureView
import android.view.View
import android.widget.TextView
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Classification
import io.github.mnv4.core.Mnv4Exception

/** What the camera sees, classified as it comes. */
internal class CameraActivity :
    Screen(R.layout.camera),
    TextureView.SurfaceTextureListener {
    private lateinit var preview: TextureView
    private var camera: Camera? = null
    private var asked = false
    private var resumed = false
    private var shownAt = 0L
    private var framesPerSecond = 0.0

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        asked = savedInstanceState?.getBoolean(ASKED) ?: false
        preview = findViewById(R.id.preview)
        preview.surfaceTextureListener = this
        findViewById<View>(R.id.photo).setOnClickListener { go(PhotoActivity::class.java) }
        findViewById<View>(R.id.benchmark).setOnClickListener { go(BenchmarkActivity::class.java) }
        val scores = findViewById<ScoresView>(R.id.scores)
        scores.show(List(ROWS) { Classification(it, "", 0f) }) // their room, until there are some
        scores.visibility = View.INVISIBLE
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putBoolean(ASKED, asked)
    }

    private fun go(screen: Class<out Screen>) = startActivity(Intent(this, screen))

    override fun fit(
        left: Int,
        top: Int,
        right: Int,
        bottom: Int,
    ) {
        // The picture goes on under the bars; text and buttons do not.
        val wide = resources.getBoolean(R.bool.wide)
        val padding = resources.getDimensionPixelSize(R.dimen.margin)
        findViewById<View>(R.id.top).setPadding(left, top, 0, 0)
        findViewById<View>(R.id.panel).setPadding(
            padding + if (wide) 0 else left,
            padding + if (wide) top else 0,
            padding + right,
            padding + bottom,
        )
    }

    override fun modelChanged() = restart()

    override fun onResume() {
        super.onResume()
        resumed = true
        restart()
    }

    override fun onPause() {
        resumed = false
        stop()
        super.onPause()
    }

    private fun stop() {
        camera?.close()
        camera = null
        findViewById<View>(R.id.latency).visibility = View.GONE
        findViewById<CropFrame>(R.id.crop).crop = null
    }

    /** Starts the camera, or says why not. */
    private fun restart() {
        stop()
        if (!resumed || lacksModels()) return
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            refused()
            return
        }
        sayNothing()
        val texture = preview.surfaceTexture ?: return // it comes later
        val found = Camera.find(this, ::classify) { say(R.string.camera_failed, it, R.string.try_again, ::restart) }
        if (found == null) {
            say(R.string.no_camera, getString(R.string.no_camera_why), R.string.choose_photo) {
                go(PhotoActivity::class.java)
            }
            return
        }
        camera = found
        place()
        found.start(texture)
    }

    private fun ask() {
        asked = true
        requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
    }

    private fun refused() {
        if (!asked || shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)) {
            say(R.string.camera_off, getString(R.string.camera_why), R.string.allow_camera, ::ask)
            if (!asked) ask()
        } else {
            // Android does not ask any more; only its settings can allow it.
            say(R.string.camera_off, getString(R.string.camera_why), R.string.open_settings) {
                startActivity(
                    Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)),
                )
            }
        }
    }

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<out String>,
        grantResults: IntArray,
    ) = restart()

    /** Quarter turns of the display; its successor needs Android 11. */
    @Suppress("DEPRECATION")
    private fun turns(): Int = windowManager.defaultDisplay.rotation

    /** Lays the picture and the network's part of it out. */
    private fun place() {
        val found = camera ?: return
        val viewfinder = Viewfinder(preview.width.toFloat(), preview.height.toFloat(), found.size, turns())
        preview.setTransform(viewfinder.matrix())
        findViewById<CropFrame>(R.id.crop).crop = models.chosen?.manifest?.let { viewfinder.crop(it.preprocess) }
    }

    /** Classifies a frame, on the camera's thread. */
    private fun classify(
        frame: Image,
        orientation: Int,
    ) {
        try {
            models.use { model ->
                val scores = model.classify(frame, orientation - QUARTER * turns(), ROWS)
                val times = model.lastTimes
                runOnUiThread { if (resumed) show(scores, times) }
            }
        } catch (error: Mnv4Exception) {
            runOnUiThread {
                stop()
                say(R.string.failed, error.message.orEmpty(), R.string.try_again, ::restart)
            }
        }
    }

    /** Shows what a frame gave. */
    fun show(
        scores: List<Classification>,
        times: MobileNetV4.Times,
    ) {
        val now = SystemClock.elapsedRealtime()
        if (shownAt > 0 && now > shownAt) {
            val latest = 1000.0 / (now - shownAt)
            framesPerSecond = if (framesPerSecond == 0.0) latest else framesPerSecond + (latest - framesPerSecond) / 8
        }
        shownAt = now
        val rows = findViewById<ScoresView>(R.id.scores)
        rows.visibility = View.VISIBLE
        rows.show(scores)
        val latency = findViewById<TextView>(R.id.latency)
        latency.visibility = View.VISIBLE
        latency.text = getString(R.string.latency, times.network, times.preprocess, framesPerSecond)
        latency.contentDescription =
            getString(R.string.latency_spoken, times.network, times.preprocess, framesPerSecond)
    }

    override fun onSurfaceTextureAvailable(
        surface: SurfaceTexture,
        width: Int,
        height: Int,
    ) = restart()

    override fun onSurfaceTextureSizeChanged(
        surface: SurfaceTexture,
        width: Int,
        height: Int,
    ) = place()

    override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean {
        stop()
        return true
    }

    override fun onSurfaceTextureUpdated(surface: SurfaceTexture): Unit = Unit

    private companion object {
        const val ASKED = "asked"
        const val ROWS = 3
        const val QUARTER = 90
    }
}
