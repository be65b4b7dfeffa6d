package io.github.mnv4.app

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Intent
import android.database.Cursor
import android.net.Uri
import android.os.Build
import android.os.ParcelFileDescriptor
import android.provider.MediaStore
import android.view.View
import android.widget.TextView
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
import java.io.File

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = DAY)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PhotoActivityTest {
    @Before
    fun ready() {
        choose(CONV)
        controller = Robolectric.buildActivity(PhotoActivity::class.java).setup()
    }

    private lateinit var controller: ActivityController<PhotoActivity>

    /** Answers the picker. */
    private fun pick(file: File): PhotoActivity = pick(Uri.fromFile(file))

    private fun pick(photo: Uri): PhotoActivity {
        val activity = controller.get()
        activity.findViewById<View>(R.id.choose).performClick()
        val asked = shadowOf(activity).nextStartedActivity
        val picker = Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU
        assertEquals(if (picker) MediaStore.ACTION_PICK_IMAGES else Intent.ACTION_GET_CONTENT, asked.action)
        val answer = Intent().setData(photo)
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
    @Config(sdk = [26, 35])
    fun `a photo, on the oldest and the newest Android`() {
        seven()
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
    @Config(sdk = [26, 34, 35])
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

    private fun text(id: Int) =
        controller
            .get()
            .findViewById<TextView>(id)
            .text
            .toString()

    /** Waits until the screen says that it has no picture, and shows none. */
    private fun refused(why: String) {
        await { text(R.id.message_title) == "This picture cannot be opened" && why in text(R.id.message_text) }
        val activity = controller.get()
        assertTrue(activity.findViewById<View>(R.id.message).isShown)
        assertFalse(activity.findViewById<View>(R.id.picture).isShown)
        assertNull("nothing stays of the photo before it", label(activity))
        assertEquals("", text(R.id.latency))
    }

    @Test
    fun `what is no picture`() {
        seven()
        pick(File(fixtures, "expected.json"))
        refused("not in a format")
    }

    @Test
    fun `a picture that is gone`() {
        pick(File(fixtures, "gone.jpg"))
        refused("gone.jpg")
    }

    private fun share(photo: Uri?): PhotoActivity {
        val intent = Intent(Intent.ACTION_SEND).setType("image/jpeg").putExtra(Intent.EXTRA_STREAM, photo)
        controller = Robolectric.buildActivity(PhotoActivity::class.java, intent).setup()
        return controller.get()
    }

    /** Sets what an app with pictures answers. */
    private fun gallery(answer: () -> ParcelFileDescriptor?): Uri {
        Gallery.answer = answer
        Robolectric.setupContentProvider(Gallery::class.java, "gallery")
        return Uri.parse("content://gallery/7")
    }

    @Test
    @Config(sdk = [26, 34, 35])
    fun `another app shares a picture`() {
        val file = File(fixtures, "pictures/seven.jpg")
        val photo = gallery { ParcelFileDescriptor.open(file, ParcelFileDescriptor.MODE_READ_ONLY) }
        share(photo)
        await { label(controller.get()) == "7" }
        controller.recreate()
        await { label(controller.get()) == "7" }
    }

    @Test
    fun `this app is offered for pictures that other apps share, and for nothing else`() {
        fun offered(type: String) =
            app.packageManager.queryIntentActivities(Intent(Intent.ACTION_SEND).setType(type), 0)
        assertEquals(PhotoActivity::class.java.name, offered("image/webp").single().activityInfo.name)
        assertEquals(0, offered("text/plain").size)
    }

    @Test
    fun `an app that gives nothing`() {
        pick(gallery { null })
        refused("gives nothing")
    }

    @Test
    fun `an app that throws`() {
        pick(gallery { throw SecurityException("not for you") })
        refused("not for you")
        pick(gallery { throw IllegalArgumentException("no such picture") })
        refused("no such picture")
    }

    @Test
    fun `nothing shared, and a file of this app's own`() {
        share(null)
        refused("shared no picture")
        share(Uri.fromFile(File(app.filesDir, "own.jpg")))
        refused("shared no picture")
    }

    /** The provider of an app that has pictures. */
    class Gallery : ContentProvider() {
        override fun openFile(
            uri: Uri,
            mode: String,
        ): ParcelFileDescriptor? = answer()

        override fun onCreate() = true

        override fun getType(uri: Uri) = "image/jpeg"

        override fun query(
            uri: Uri,
            projection: Array<String>?,
            selection: String?,
            selectionArgs: Array<String>?,
            sortOrder: String?,
        ): Cursor? = null

        override fun insert(
            uri: Uri,
            values: ContentValues?,
        ): Uri? = null

        override fun delete(
            uri: Uri,
            selection: String?,
            selectionArgs: Array<String>?,
        ) = 0

        override fun update(
            uri: Uri,
            values: ContentValues?,
            selection: String?,
            selectionArgs: Array<String>?,
        ) = 0

        companion object {
            var answer: () -> ParcelFileDescriptor? = { null }
        }
    }
}
