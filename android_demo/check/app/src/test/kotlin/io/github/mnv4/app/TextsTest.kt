package io.github.mnv4.app

import android.app.Activity
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.junit.Assert.assertEquals
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
import org.xmlpull.v1.XmlPullParser
import java.io.File

/** Whether the app can be translated: in the pseudolocale en-XA, every text of the resources is in brackets. */
@RunWith(RobolectricTestRunner::class)
@Config(
    sdk = [34],
    qualifiers = "en-rXA-$DAY",
    shadows = [SensorManager::class, SensorReader::class, SensorRequest::class, SensorSession::class],
)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class TextsTest {
    @Before
    fun ready() {
        choose(CONV)
        Sensor.reset()
    }

    /** Returns the texts and descriptions that are shown and contain words. */
    private fun texts(view: View): List<String> {
        if (view.visibility != View.VISIBLE || view.id in UNCHANGED) return emptyList()
        val own = listOfNotNull((view as? TextView)?.text, view.contentDescription).map(CharSequence::toString)
        val within = (view as? ViewGroup)?.let { group -> (0 until group.childCount).map(group::getChildAt) }
        return own.filter { it.any(Char::isLetter) } + within.orEmpty().flatMap(::texts)
    }

    private fun check(
        view: View,
        least: Int,
    ) {
        shadowOf(Looper.getMainLooper()).idle()
        val found = texts(view)
        assertTrue("$found", found.size >= least)
        assertEquals(emptyList<String>(), found.filterNot { it.startsWith("[") && it.endsWith("]") })
    }

    private fun <T : Activity> open(screen: Class<T>): T = Robolectric.buildActivity(screen).setup().get()

    @Test
    fun `the camera, while it runs and when it fails`() {
        Sensor.addPhone()
        shadowOf(app).grantPermissions(android.Manifest.permission.CAMERA)
        val activity = open(CameraActivity::class.java)
        appear(activity.findViewById(R.id.preview))
        while (!activity.findViewById<View>(R.id.latency).isShown) {
            val frame = Frame(android.graphics.Bitmap.createBitmap(640, 480, android.graphics.Bitmap.Config.ARGB_8888))
            Sensor.give(frame)
            await { frame.closed }
        }
        check(activity.screen, 10)
        shadowOf(app.getSystemService(android.hardware.camera2.CameraManager::class.java)).triggerDisconnect()
        await { activity.findViewById<View>(R.id.message).isShown }
        check(activity.screen, 8)
    }

    @Test
    fun `the list of models, over a camera that is off`() {
        val activity = open(CameraActivity::class.java)
        activity.findViewById<View>(R.id.model).performClick()
        check(activity.screen, 5)
        check(ShadowAlertDialog.getLatestAlertDialog().screen, 6)
    }

    @Test
    fun `a photo that cannot be opened`() {
        val intent = android.content.Intent(android.content.Intent.ACTION_SEND)
        check(
            Robolectric
                .buildActivity(PhotoActivity::class.java, intent)
                .setup()
                .get()
                .screen,
            5,
        )
    }

    @Test
    fun `a benchmark, while it runs and when it is done`() {
        val activity = open(BenchmarkActivity::class.java)
        activity.findViewById<View>(R.id.run).performClick()
        check(activity.screen, 8)
        await { app.benchmark.state is BenchmarkRun.State.Done }
        check(activity.screen, 14)
        keep("benchmark-long", activity.screen)
    }

    @Test
    fun `Android's settings offer the languages that there are texts in`() {
        val manifest = fixtures.resolveSibling("app/AndroidManifest.xml").readText()
        assertTrue("android:localeConfig=\"@xml/locales\"" in manifest)
        val offered = ArrayList<String>()
        app.resources.getXml(R.xml.locales).use { xml ->
            while (xml.next() != XmlPullParser.END_DOCUMENT) {
                if (xml.eventType == XmlPullParser.START_TAG &&
                    xml.name == "locale"
                ) {
                    offered += xml.getAttributeValue(0)
                }
            }
        }
        val folders =
            File(
                "../../app/src/main/res",
            ).list()!!.mapNotNull(Regex("values-([a-z]{2})(-r[A-Z]{2})?")::matchEntire)
        assertEquals(listOf("en") + folders.map { it.groupValues[1] }, offered)
    }

    private companion object {
        /** What the runtime and the bundle call themselves, and two plurals, which aapt2 copies unchanged. */
        val UNCHANGED = setOf(R.id.value, R.id.figure_about, R.id.distribution)
    }
}
