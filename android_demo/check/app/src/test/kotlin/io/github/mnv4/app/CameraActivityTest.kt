package io.github.mnv4.app

import android.Manifest
import android.content.Intent
import android.content.pm.FeatureInfo
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Insets
import android.graphics.Paint
import android.graphics.drawable.BitmapDrawable
import android.graphics.drawable.ColorDrawable
import android.graphics.drawable.LayerDrawable
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.hardware.camera2.CaptureRequest
import android.hardware.display.DisplayManager
import android.os.Looper
import android.provider.Settings
import android.view.ScaleGestureDetector
import android.view.TextureView
import android.view.View
import android.view.WindowInsets
import android.widget.Button
import android.widget.TextView
import io.github.mnv4.Mnv4Model
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Classification
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.annotation.Implements
import org.robolectric.shadows.ShadowAlertDialog
import org.robolectric.shadows.ShadowDisplayManager
import java.io.File
import java.util.concurrent.CompletableFuture
import kotlin.math.abs

@RunWith(RobolectricTestRunner::class)
@Config(
    sdk = [34],
    qualifiers = DAY,
    shadows = [SensorManager::class, SensorReader::class, SensorRequest::class, SensorSession::class],
)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraActivityTest {
    private val photo by lazy { BitmapFactory.decodeFile(File(fixtures, "pictures/nine.jpg").path) }

    @Before
    fun ready() {
        choose(CONV)
        Sensor.reset()
    }

    private fun controller(allowed: Boolean = true): ActivityController<CameraActivity> {
        val permission = Manifest.permission.CAMERA
        if (allowed) shadowOf(app).grantPermissions(permission) else shadowOf(app).denyPermissions(permission)
        val controller = Robolectric.buildActivity(CameraActivity::class.java).setup()
        appear(controller.get().preview)
        return controller
    }

    private fun open(allowed: Boolean = true): CameraActivity = controller(allowed).get()

    /** The network, to classify what the user sees. */
    private val reference by lazy {
        val opened = CompletableFuture.supplyAsync { MobileNetV4.open(app, Mnv4Model(CONV)) }.get()
        opened.also(closing::add)
    }
    private val closing = ArrayList<AutoCloseable>()

    @After
    fun close() = closing.forEach(AutoCloseable::close)

    private val display get() = app.getSystemService(DisplayManager::class.java).getDisplay(0)

    private val CameraActivity.preview get() = findViewById<TextureView>(R.id.preview)

    private fun CameraActivity.text(id: Int) = findViewById<TextView>(id).text.toString()

    private fun CameraActivity.isShown(id: Int) = findViewById<View>(id).isShown

    /** The classes on the screen with their percentages. */
    private fun CameraActivity.scores(): List<Pair<String, Int>> =
        findViewById<ScoresView>(R.id.scores).let { rows ->
            (0 until rows.childCount).map {
                val row = rows.getChildAt(it)
                val percent = row.findViewById<TextView>(R.id.percent).text
                "${row.findViewById<TextView>(R.id.label).text}" to percent.filter(Char::isDigit).toString().toInt()
            }
        }

    /** The photo on a table, on a display that is [turns] quarters off its natural position. */
    private fun scene(
        front: Boolean = false,
        orientation: Int = 90,
        turns: Int = 0,
    ): Scene {
        val tall = (orientation / 90 + turns) % 2 != 0
        val (width, height) = if (tall) 480 to 640 else 640 to 480
        val scale = minOf(width / photo.width.toFloat(), height / photo.height.toFloat())
        val upright = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(upright)
        canvas.drawColor(TABLE)
        canvas.translate((width - photo.width * scale) / 2, (height - photo.height * scale) / 2)
        canvas.scale(scale, scale)
        canvas.drawBitmap(photo, 0f, 0f, Paint(Paint.FILTER_BITMAP_FLAG))
        return Scene(upright, front, orientation, turns)
    }

    /** Gives frames, one after the other, until the screen has shown what [count] of them gave. */
    private fun CameraActivity.see(
        scene: Scene,
        count: Int = 1,
    ) = repeat(count) {
        val nothing = List(3) { Classification(it, "", 0f) }
        findViewById<ScoresView>(R.id.scores).show(nothing)
        while (scores()[0].first == "") {
            val frame = Frame(scene.raw)
            Sensor.give(frame)
            await { frame.closed }
            // Shown soon, unless nobody was waiting for the frame.
            for (i in 1..20) if (scores()[0].first == "") letMainWork()
        }
    }

    /** The screen while the camera runs. What the GPU would draw of its preview is put behind the viewfinder. */
    private fun running(): CameraActivity {
        Sensor.addPhone()
        val activity = open()
        val scene = scene(turns = display.rotation)
        activity.see(scene, FRAMES)
        assertEquals("9", activity.scores()[0].first)
        activity.findViewById<View>(R.id.viewfinder).background =
            LayerDrawable(
                arrayOf(
                    ColorDrawable(activity.getColor(R.color.viewfinder)),
                    BitmapDrawable(activity.resources, scene.shown(activity.preview)),
                ),
            )
        return activity
    }

    @Test
    @Config(sdk = [35]) // on API 26, these shadows give no frames
    fun `frames are classified, on the newest Android`() {
        assertEquals(expected(CONV, "pictures/nine.jpg").label, running().scores()[0].first)
    }

    @Test
    fun `frames are classified as they come, by day`() {
        val activity = running()
        keep("camera", activity.screen)
        assertFalse(activity.isShown(R.id.message))
        val python = expected(CONV, "pictures/nine.jpg")
        val (label, percent) = activity.scores()[0]
        assertEquals(python.label, label)
        assertEquals(100f * python.probability, percent.toFloat(), 3f) // a camera's colours, and fewer pixels
        val latency = Regex("""[0-9.]+ ms · prepared in [0-9.]+ ms · [0-9]+ fps""")
        assertTrue(activity.text(R.id.latency), latency.matches(activity.text(R.id.latency)))
    }

    @Test
    @Config(qualifiers = NIGHT)
    fun `frames are classified as they come, by night`() {
        keep("camera", running().screen)
    }

    @Test
    @Config(qualifiers = TURNED)
    fun `frames are classified as they come, turned`() {
        keep("camera-turned", running().screen)
    }

    @Test
    @Config(qualifiers = TURNED_NIGHT)
    fun `frames are classified as they come, turned, by night`() {
        keep("camera-turned", running().screen)
    }

    @Test
    fun `no rate after one frame`() {
        Sensor.addPhone()
        val activity = open()
        activity.see(scene())
        assertEquals("9", activity.scores()[0].first)
        assertFalse(activity.isShown(R.id.latency))
    }

    /** Checks that the preview shows the scene as the user sees it, and that the network sees the same. */
    private fun check(
        activity: CameraActivity,
        scene: Scene,
        said: String,
    ) {
        shadowOf(Looper.getMainLooper()).idle()
        val found = scene.shown(activity.preview)
        val scale = minOf(found.width / scene.expected.width.toFloat(), found.height / scene.expected.height.toFloat())
        val (width, height) = (scene.expected.width * scale).toInt() to (scene.expected.height * scale).toInt()
        val expected = Bitmap.createScaledBitmap(scene.expected, width, height, true)
        var off = 0L
        for (y in 0 until height step 8) {
            for (x in 0 until width step 8) {
                val pixel = found.getPixel((found.width - width) / 2 + x, (found.height - height) / 2 + y)
                off += abs(Color.green(pixel) - Color.green(expected.getPixel(x, y)))
            }
        }
        val mean = off / ((height + 7) / 8 * ((width + 7) / 8)).toDouble()
        assertTrue("$said: the preview is off by $mean", mean < 4)
        activity.see(scene)
        val wanted = reference.classifyBlocking(scene.upright, 3)
        val (label, percent) = activity.scores()[0]
        assertEquals(said, wanted[0].label, label)
        assertEquals(said, 100 * wanted[0].probability, percent.toFloat(), 3f)
    }

    private fun everyPosition(
        front: Boolean,
        orientation: Int,
    ) {
        Sensor.add("0", front, orientation)
        val activity = open()
        for (turns in listOf(0, 1, 2, 3)) {
            shadowOf(display).setRotation(turns)
            check(activity, scene(front, orientation, turns), "$turns quarters")
        }
    }

    @Test
    fun `upright in every position, half turns among them`() = everyPosition(front = false, orientation = 90)

    @Test
    fun `a device that has a front camera only`() = everyPosition(front = true, orientation = 270)

    @Test
    @Config(qualifiers = TABLET)
    fun `a tablet whose natural position is landscape`() {
        ShadowDisplayManager.setNaturallyPortrait(0, false)
        everyPosition(front = false, orientation = 0)
    }

    @Test
    @Config(qualifiers = TABLET)
    fun `the front camera of such a tablet`() {
        ShadowDisplayManager.setNaturallyPortrait(0, false)
        everyPosition(front = true, orientation = 0)
    }

    @Test
    fun `no camera at all`() {
        val activity = open()
        assertEquals("No camera here", activity.text(R.id.message_title))
    }

    @Test
    fun `a camera service that throws, and then works`() {
        Sensor.addPhone()
        Sensor.failure = CameraAccessException(CameraAccessException.CAMERA_ERROR, "no answer")
        val activity = open()
        assertEquals("The camera stopped", activity.text(R.id.message_title))
        assertTrue(activity.text(R.id.message_text), "no answer" in activity.text(R.id.message_text))
        Sensor.failure = null
        activity.findViewById<View>(R.id.message_action).performClick()
        shadowOf(Looper.getMainLooper()).idle()
        assertFalse(activity.isShown(R.id.message))
        activity.see(scene())
        assertEquals("9", activity.scores()[0].first)
    }

    @Test
    fun `another app takes the camera`() {
        Sensor.addPhone()
        val activity = open()
        activity.see(scene(), 2)
        assertTrue(activity.isShown(R.id.latency))
        shadowOf(app.getSystemService(CameraManager::class.java)).triggerDisconnect()
        await { activity.isShown(R.id.message) }
        assertEquals("Another app is using it.", activity.text(R.id.message_text))
        for (id in listOf(R.id.latency, R.id.torch, R.id.zoom)) assertFalse(activity.isShown(id))
    }

    @Test
    fun `back and front camera, kept when the phone turns`() {
        Sensor.addPhone()
        val controller = controller()
        check(controller.get(), scene(), "back")
        controller.get().findViewById<View>(R.id.flip).performClick()
        check(controller.get(), scene(front = true, orientation = 270), "front")
        assertFalse("the front camera has no torch", controller.get().isShown(R.id.torch))
        assertFalse("nor a zoom", controller.get().isShown(R.id.zoom))
        controller.recreate()
        appear(controller.get().preview)
        check(controller.get(), scene(front = true, orientation = 270), "front, again")
        controller.get().findViewById<View>(R.id.flip).performClick()
        check(controller.get(), scene(), "back, again")
    }

    @Test
    fun `one camera cannot be switched`() {
        Sensor.add("0", front = false, orientation = 90)
        assertFalse(open().isShown(R.id.flip))
    }

    @Test
    fun `torch and zoom by their buttons`() {
        Sensor.addPhone()
        val activity = open()
        activity.findViewById<View>(R.id.torch).performClick()
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals(CameraMetadata.FLASH_MODE_TORCH, Sensor.requests.last().settings[CaptureRequest.FLASH_MODE])
        val steps =
            List(5) {
                activity.findViewById<View>(R.id.zoom).performClick()
                shadowOf(Looper.getMainLooper()).idle()
                activity.text(R.id.zoom) to Sensor.requests.last().settings[CaptureRequest.CONTROL_ZOOM_RATIO]
            }
        assertEquals(listOf("2.0×" to 2f, "4.0×" to 4f, "6.0×" to 6f, "0.5×" to 0.5f, "1.0×" to 1f), steps)
        activity.findViewById<View>(R.id.torch).performClick()
        shadowOf(Looper.getMainLooper()).idle()
        assertNull(Sensor.requests.last().settings[CaptureRequest.FLASH_MODE])
    }

    @Test
    @Config(shadows = [Fingers::class])
    fun `zoom by two fingers`() {
        Sensor.addPhone()
        val activity = open()
        pinch(activity, from = 400f, to = 800f)
        val ratio = Sensor.requests.last().settings[CaptureRequest.CONTROL_ZOOM_RATIO] as Float
        assertTrue("$ratio", ratio in 1.5f..2f) // it begins after some pixels
        repeat(2) { pinch(activity, from = 800f, to = 350f) }
        assertEquals(0.5f, Sensor.requests.last().settings[CaptureRequest.CONTROL_ZOOM_RATIO])
    }

    /** Acts as a device whose bars, or the hole of whose camera, lie over the app. */
    private fun barred(
        left: Int,
        top: Int,
        right: Int,
        bottom: Int,
    ): CameraActivity {
        val activity = open(allowed = false)
        val bars = Insets.of(left, top, right, bottom)
        val insets = WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), bars).build()
        activity.findViewById<View>(R.id.root).dispatchApplyWindowInsets(insets)
        return activity
    }

    private fun CameraActivity.padding(id: Int) =
        findViewById<View>(id).let { listOf(it.paddingLeft, it.paddingTop, it.paddingRight, it.paddingBottom) }

    @Test
    @Config(sdk = [34, 35])
    fun `the preview goes on under the bars, buttons and texts do not`() {
        val activity = barred(left = 0, top = 60, right = 0, bottom = 80)
        val margin = activity.resources.getDimensionPixelSize(R.dimen.margin)
        assertEquals(listOf(0, 60, 0, 0), activity.padding(R.id.controls))
        assertEquals(listOf(margin, margin, margin, margin + 80), activity.padding(R.id.panel))
        assertEquals(listOf(0, 0, 0, 0), activity.padding(R.id.root))
    }

    @Test
    @Config(qualifiers = TURNED)
    fun `nor do they in landscape, where the panel is on the right`() {
        val activity = barred(left = 50, top = 60, right = 70, bottom = 80)
        val margin = activity.resources.getDimensionPixelSize(R.dimen.margin)
        assertEquals(listOf(50, 60, 0, 80), activity.padding(R.id.controls))
        assertEquals(listOf(margin, margin + 60, margin + 70, margin + 80), activity.padding(R.id.panel))
    }

    @Test
    @Config(qualifiers = "ar-rXB-ldrtl-$TURNED")
    fun `nor in languages from right to left, where it is on the left`() {
        val activity = barred(left = 50, top = 60, right = 70, bottom = 80)
        val margin = activity.resources.getDimensionPixelSize(R.dimen.margin)
        assertEquals(listOf(0, 60, 70, 80), activity.padding(R.id.controls))
        assertEquals(listOf(margin + 50, margin + 60, margin, margin + 80), activity.padding(R.id.panel))
    }

    private fun refused(): CameraActivity {
        val activity = open(allowed = false)
        assertEquals("The camera is off", activity.text(R.id.message_title))
        assertEquals("Allow camera", activity.text(R.id.message_action))
        return activity
    }

    @Test
    fun `a permission that is refused, and refused for good`() {
        val activity = refused()
        keep("refused", activity.screen)
        val names = arrayOf(Manifest.permission.CAMERA)
        activity.onRequestPermissionsResult(0, names, intArrayOf(-1))
        assertEquals("Open settings", activity.text(R.id.message_action))
        activity.findViewById<Button>(R.id.message_action).performClick()
        val started = generateSequence { shadowOf(activity).nextStartedActivity }.map { it.action }.toList()
        assertTrue("$started", Settings.ACTION_APPLICATION_DETAILS_SETTINGS in started)
    }

    @Test
    @Config(qualifiers = NIGHT)
    fun `a permission that is refused, by night`() {
        keep("refused", refused().screen)
    }

    @Test
    fun `no network permission`() {
        val flags = PackageManager.GET_PERMISSIONS
        val asked = app.packageManager.getPackageInfo(app.packageName, flags).requestedPermissions
        assertEquals(listOf(Manifest.permission.CAMERA), asked!!.toList())
    }

    /** The permission implies the first two: a store would not offer the app to a device without a back camera. */
    @Test
    fun `no camera feature is required`() {
        val features =
            app.packageManager
                .getPackageInfo(
                    app.packageName,
                    PackageManager.GET_CONFIGURATIONS,
                ).reqFeatures!!
        val optional = features.filter { it.flags and FeatureInfo.FLAG_REQUIRED == 0 }.map { it.name }
        assertEquals(setOf(PackageManager.FEATURE_CAMERA, PackageManager.FEATURE_CAMERA_AUTOFOCUS), optional.toSet())
        assertEquals(features.size, optional.size)
    }

    private fun picker() {
        val activity = open(allowed = false)
        activity.findViewById<Button>(R.id.model).performClick()
        val dialog = ShadowAlertDialog.getLatestAlertDialog()
        keep("models", activity.screen, dialog.screen)
        val list = dialog.listView
        assertEquals(3, list.adapter.count)
        val hybrid = (0 until 3).first { "hybrid" in (list.adapter.getItem(it) as Model).id }
        list.performItemClick(list.getChildAt(hybrid), hybrid, hybrid.toLong())
        assertTrue("hybrid-narrow" in activity.text(R.id.model))
        assertTrue("hybrid-narrow" in app.models.chosen!!.id)
    }

    @Test
    fun `choosing a model`() = picker()

    @Test
    @Config(qualifiers = NIGHT)
    fun `choosing a model, by night`() = picker()

    @Test
    fun `the other screens are one touch away`() {
        val activity = open(allowed = false)
        while (shadowOf(activity).nextStartedActivity != null) Unit // the question for the permission
        for ((button, screen) in listOf(
            R.id.photo to PhotoActivity::class.java,
            R.id.benchmark to BenchmarkActivity::class.java,
        )) {
            activity.findViewById<View>(button).performClick()
            val started: Intent = shadowOf(activity).nextStartedActivity
            assertEquals(screen.name, started.component!!.className)
        }
        assertNull(shadowOf(activity).nextStartedActivity)
    }

    private companion object {
        const val TABLE = 0xff2a2523.toInt()

        /** Enough of them for steady times. */
        const val FRAMES = 40
    }
}

/** Robolectric's own shadow only records what it is given; without its methods, the platform's code runs. */
@Implements(ScaleGestureDetector::class)
internal class Fingers
