package io.github.mnv4.app

import android.Manifest
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.SurfaceTexture
import android.hardware.display.DisplayManager
import android.media.Image
import android.net.Uri
import android.os.Bundle
import android.provider.Settings
import android.view.Display
import android.view.MotionEvent
import android.view.ScaleGestureDetector
import android.view.TextureView
import android.view.View
import android.widget.TextView
import android.widget.ToggleButton
import io.github.mnv4.Images
import io.github.mnv4.Outputs
import io.github.mnv4.core.Classification
import io.github.mnv4.core.Mnv4Exception
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.map

/** What the camera sees, classified as it comes. */
internal class CameraActivity :
    Screen(R.layout.camera),
    TextureView.SurfaceTextureListener,
    DisplayManager.DisplayListener,
    ScaleGestureDetector.OnScaleGestureListener {
    private lateinit var preview: TextureView
    private lateinit var displays: DisplayManager
    private lateinit var pinch: ScaleGestureDetector
    private var camera: Camera? = null
    private var front = false
    private var asked = false
    private var asking = false
    private var resumed = false
    private var shownAt = 0L
    private var framesPerSecond = 0.0

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        asked = savedInstanceState?.getBoolean(ASKED) ?: false
        asking = savedInstanceState?.getBoolean(ASKING) ?: false
        front = savedInstanceState?.getBoolean(FRONT) ?: false
        displays = getSystemService(DisplayManager::class.java)
        pinch = ScaleGestureDetector(this, this)
        preview = findViewById(R.id.preview)
        preview.surfaceTextureListener = this
        findViewById<View>(R.id.photo).setOnClickListener { go(PhotoActivity::class.java) }
        findViewById<View>(R.id.benchmark).setOnClickListener { go(BenchmarkActivity::class.java) }
        findViewById<View>(R.id.flip).setOnClickListener {
            front = !front
            restart()
        }
        findViewById<ToggleButton>(R.id.torch).setOnCheckedChangeListener { _, on -> camera?.torch = on }
        findViewById<View>(R.id.zoom).setOnClickListener { camera?.let { zoom(it.lens.next(it.zoom)) } }
        val scores = findViewById<ScoresView>(R.id.scores)
        scores.show(List(ROWS) { Classification(it, "", 0f) }) // their room, until there are some
        scores.visibility = View.INVISIBLE
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putBoolean(ASKED, asked)
        outState.putBoolean(ASKING, asking)
        outState.putBoolean(FRONT, front)
    }

    private fun go(screen: Class<out Screen>) = startActivity(Intent(this, screen))

    override fun fit(
        left: Int,
        top: Int,
        right: Int,
        bottom: Int,
    ) {
        // The preview goes on under the bars; text and buttons do not.
        val wide = resources.getBoolean(R.bool.wide)
        val padding = resources.getDimensionPixelSize(R.dimen.margin)
        val mirrored = resources.configuration.layoutDirection == View.LAYOUT_DIRECTION_RTL
        val (start, end) = if (mirrored) right to left else left to right
        findViewById<View>(R.id.controls).setPaddingRelative(start, top, if (wide) 0 else end, if (wide) bottom else 0)
        findViewById<View>(R.id.panel).setPaddingRelative(
            padding + if (wide) 0 else start,
            padding + if (wide) top else 0,
            padding + end,
            padding + bottom,
        )
    }

    override fun modelChanged() = restart()

    override fun onStart() {
        super.onStart()
        displays.registerDisplayListener(this, null)
    }

    override fun onStop() {
        displays.unregisterDisplayListener(this)
        super.onStop()
    }

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
        shownAt = 0
        framesPerSecond = 0.0
        for (id in listOf(R.id.latency, R.id.torch, R.id.zoom, R.id.flip)) {
            findViewById<View>(id).visibility = View.GONE
        }
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
        try {
            val lenses = Lens.all(this)
            val lens = lenses.firstOrNull { it.front == front } ?: lenses.firstOrNull()
            if (lens == null) noCamera() else start(lens, texture)
            findViewById<View>(R.id.flip).visibility = if (lenses.size > 1) View.VISIBLE else View.GONE
        } catch (error: CameraFailed) {
            failed(error.message.orEmpty())
        }
    }

    private fun noCamera() =
        say(R.string.no_camera, getString(R.string.no_camera_why), R.string.choose_photo) {
            go(PhotoActivity::class.java)
        }

    private fun failed(why: String) {
        stop()
        say(R.string.camera_failed, why, R.string.try_again, ::restart)
    }

    private fun start(
        lens: Lens,
        texture: SurfaceTexture,
    ) {
        val started = Camera(this, lens, texture, scope, { classify(lens, it) }, ::failed)
        camera = started
        val torch = findViewById<ToggleButton>(R.id.torch)
        torch.isChecked = false
        torch.visibility = if (lens.torch) View.VISIBLE else View.GONE
        zoom(1f)
        place()
        started.start()
    }

    private fun zoom(ratio: Float) {
        val camera = camera ?: return
        val zooms = camera.lens.zooms
        camera.zoom = ratio.coerceIn(zooms)
        val button = findViewById<TextView>(R.id.zoom)
        button.visibility = if (zooms.start < zooms.endInclusive) View.VISIBLE else View.GONE
        button.text = getString(R.string.zoom, camera.zoom)
        button.contentDescription = getString(R.string.zoom_spoken, camera.zoom)
    }

    /** Two fingers that no button takes. */
    override fun onTouchEvent(event: MotionEvent): Boolean = pinch.onTouchEvent(event) || super.onTouchEvent(event)

    override fun onScaleBegin(detector: ScaleGestureDetector): Boolean = true

    override fun onScale(detector: ScaleGestureDetector): Boolean {
        camera?.let { zoom(it.zoom * detector.scaleFactor) }
        return true
    }

    override fun onScaleEnd(detector: ScaleGestureDetector): Unit = Unit

    private fun ask() {
        asked = true
        asking = true
        requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
    }

    private fun refused() {
        if (!asked || asking || shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)) {
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
    ) {
        asking = false
        restart()
    }

    /** The quarter turns of the display, counterclockwise from its natural position. */
    private fun turns(): Int = displays.getDisplay(Display.DEFAULT_DISPLAY).rotation

    /** Lays the preview and the network's part of it out. */
    private fun place() {
        val lens = camera?.lens ?: return
        val viewfinder = Viewfinder(preview.width.toFloat(), preview.height.toFloat(), lens.natural, turns())
        preview.setTransform(viewfinder.matrix())
        findViewById<CropFrame>(R.id.crop).crop = models.chosen?.manifest?.let { viewfinder.crop(it.preprocess) }
    }

    /** Half a turn changes nothing but this: the screen has the same size afterwards, and nothing is laid out again. */
    override fun onDisplayChanged(displayId: Int): Unit = place()

    override fun onDisplayAdded(displayId: Int): Unit = Unit

    override fun onDisplayRemoved(displayId: Int): Unit = Unit

    /** Classifies frames until it is cancelled: always the latest one. */
    private suspend fun classify(
        lens: Lens,
        frames: Flow<Image>,
    ) {
        try {
            models.use { network ->
                network
                    .frames(frames) { Images.of(it, lens.rotation(turns())) }
                    .map { it.top(ROWS) to it.times }
                    .flowOn(Dispatchers.Default)
                    .conflate()
                    .collect { (scores, times) -> show(scores, times) }
            }
        } catch (error: Mnv4Exception) {
            stop()
            say(R.string.failed, error.message.orEmpty(), R.string.try_again, ::restart)
        }
    }

    private fun show(
        scores: List<Classification>,
        times: Outputs.Times,
    ) {
        val now = System.nanoTime()
        val latest = if (shownAt == 0L) 0.0 else 1e9 / (now - shownAt)
        framesPerSecond = if (framesPerSecond == 0.0) latest else framesPerSecond + (latest - framesPerSecond) / 8
        shownAt = now
        val rows = findViewById<ScoresView>(R.id.scores)
        rows.visibility = View.VISIBLE
        rows.show(scores)
        val latency = findViewById<TextView>(R.id.latency)
        if (framesPerSecond == 0.0) return // until there are two
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
        const val ASKING = "asking"
        const val FRONT = "front"
        const val ROWS = 3
    }
}
