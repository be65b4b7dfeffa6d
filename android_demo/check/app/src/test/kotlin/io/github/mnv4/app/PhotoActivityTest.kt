package io.github.mnv4.app

import android.content.Intent
import android.net.Uri
import android.provider.MediaStore
import android.view.View
import android.widget.TextView
import org.junit.Assert.assertEquals
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
import java.io.File

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = DAY)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PhotoActivityTest {
    @Before
    fun ready() = choose(CONV)

    private val controller: ActivityController<PhotoActivity> by lazy {
        Robolectric.buildActivity(PhotoActivity::class.java).setup()
    }

    /** Answers the picker. */
    private fun pick(file: File): PhotoActivity {
        val activity = controller.get()
        activity.findViewById<View>(R.id.choose).performClick()
        val asked = shadowOf(activity).nextStartedActivity
        assertEquals(MediaStore.ACTION_PICK_IMAGES, asked.action)
        val answer = Intent().setData(Uri.fromFile(file))
        shadowOf(activity).receiveResult(asked, android.app.Activity.RESULT_OK, answer)
        return activity
    }

    private fun label(activity: PhotoActivity): String? =
        activity
            .findViewById<ScoresView>(R.id.scores)
            .getChildAt(0)
            ?.findViewById<TextView>(R.id.label)
            ?.text
            ?.toString()

    private fun seven(): PhotoActivity {
        val activity = pick(File(fixtures, "pictures/seven.jpg"))
        await { label(activity) == "7" }
        assertEquals(View.VISIBLE, activity.findViewById<View>(R.id.picture).visibility)
        return activity
    }

    @Test
    fun `a photo, by day`() {
        keep("photo", seven().screen)
    }

    @Test
    @Config(qualifiers = NIGHT)
    fun `a photo, by night`() {
        keep("photo", seven().screen)
    }

    @Test
    @Config(qualifiers = TURNED)
    fun `a photo, turned`() {
        keep("photo-turned", seven().screen)
    }

    @Test
    fun `turning the phone keeps the photo`() {
        seven()
        controller.recreate()
        await { label(controller.get()) == "7" }
    }

    @Test
    fun `another model judges the same photo`() {
        val activity = seven()
        activity.findViewById<View>(R.id.model).performClick()
        val list =
            org.robolectric.shadows.ShadowAlertDialog
                .getLatestAlertDialog()
                .listView
        val program = (0 until 3).first { (list.adapter.getItem(it) as Model).id.endsWith("executorch") }
        activity.findViewById<ScoresView>(R.id.scores).show(emptyList())
        list.performItemClick(list.getChildAt(program), program, program.toLong())
        await { label(activity) == "7" }
        assertTrue(
            app.models.chosen!!
                .id
                .endsWith("executorch"),
        )
    }

    @Test
    fun `what is no picture`() {
        val activity = pick(File(fixtures, "expected.json"))
        val text = activity.findViewById<TextView>(R.id.message_text)
        await { "not in a format" in text.text }
        assertTrue(activity.findViewById<View>(R.id.message).isShown)
    }

    @Test
    fun `a picture that is gone`() {
        val activity = pick(File(fixtures, "gone.jpg"))
        val text = activity.findViewById<TextView>(R.id.message_text)
        await { "gone.jpg" in text.text }
    }
}
