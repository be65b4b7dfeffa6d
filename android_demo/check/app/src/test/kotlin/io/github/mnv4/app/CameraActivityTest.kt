package io.github.mnv4.app

import android.Manifest
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.drawable.BitmapDrawable
import android.graphics.drawable.ColorDrawable
import android.graphics.drawable.LayerDrawable
import android.provider.Settings
import android.util.Size
import android.view.Gravity
import android.view.View
import android.widget.Button
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowAlertDialog
import org.robolectric.shadows.ShadowSystemClock
import java.io.File
import java.time.Duration

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = DAY)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraActivityTest {
    @Before
    fun ready() {
        NativeLiteRt.load()
        choose(CONV)
    }

    private fun open(allowed: Boolean = true): CameraActivity {
        val permission = Manifest.permission.CAMERA
        if (allowed) shadowOf(app).grantPermissions(permission) else shadowOf(app).denyPermissions(permission)
        return Robolectric.buildActivity(CameraActivity::class.java).setup().get()
    }

    private fun CameraActivity.text(id: Int) = findViewById<TextView>(id).text.toString()

    /** The screen as it is while the camera runs; a photo stands in for its picture. */
    private fun running(): CameraActivity {
        val activity = open()
        val photo = BitmapFactory.decodeFile(File(fixtures, "pictures/seven.jpg").path)
        val tall = Bitmap.createScaledBitmap(photo, 480, 640, true)
        val model = app.models
        val frame = Frame(tall)
        repeat(9) { model.use { it.classify(frame, 90, 3) } } // until the times are steady
        val (scores, times) = model.use { it.classify(frame, 90, 3) to it.lastTimes }
        assertEquals("7", scores[0].label)
        repeat(3) {
            activity.show(scores, times)
            ShadowSystemClock.advanceBy(Duration.ofMillis(33))
        }
        val preview = activity.findViewById<View>(R.id.preview)
        val viewfinder = Viewfinder(preview.width.toFloat(), preview.height.toFloat(), Size(640, 480), 0)
        activity.findViewById<CropFrame>(R.id.crop).crop = viewfinder.crop(model.chosen!!.manifest!!.preprocess)
        val behind = ColorDrawable(activity.getColor(R.color.viewfinder))
        val fitted = LayerDrawable(arrayOf(behind, BitmapDrawable(activity.resources, tall)))
        val high = minOf(preview.height, preview.width * tall.height / tall.width)
        fitted.setLayerSize(1, high * tall.width / tall.height, high)
        fitted.setLayerGravity(1, Gravity.CENTER)
        activity.findViewById<View>(R.id.viewfinder).background = fitted
        activity.findViewById<View>(R.id.message).visibility = View.GONE
        return activity
    }

    @Test
    fun `what a frame gave, by day`() {
        val activity = running()
        keep("camera", activity.screen)
        val first = activity.findViewById<ScoresView>(R.id.scores).getChildAt(0)
        assertTrue("${first.contentDescription}", first.contentDescription.startsWith("7, "))
        assertTrue(activity.text(R.id.latency), " ms · prepared in " in activity.text(R.id.latency))
    }

    @Test
    @Config(qualifiers = NIGHT)
    fun `what a frame gave, by night`() {
        keep("camera", running().screen)
    }

    @Test
    @Config(qualifiers = TURNED)
    fun `what a frame gave, turned`() {
        keep("camera-turned", running().screen)
    }

    @Test
    @Config(qualifiers = TURNED_NIGHT)
    fun `what a frame gave, turned, by night`() {
        keep("camera-turned", running().screen)
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
        val flags = android.content.pm.PackageManager.GET_PERMISSIONS
        val asked = app.packageManager.getPackageInfo(app.packageName, flags).requestedPermissions
        assertEquals(listOf(Manifest.permission.CAMERA), asked!!.toList())
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
}
