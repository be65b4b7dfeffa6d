package io.github.mnv4.app

import android.app.Activity
import android.os.Looper
import android.view.accessibility.AccessibilityEvent
import android.view.accessibility.AccessibilityManager
import android.widget.TextView
import io.github.mnv4.core.Classification
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowSystemClock
import java.time.Duration

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = DAY)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScoresViewTest {
    private val activity = Robolectric.buildActivity(Activity::class.java).setup().get()
    private val view = ScoresView(activity, null).also(activity::setContentView)
    private val accessibility = shadowOf(app.getSystemService(AccessibilityManager::class.java))

    /** Shows a class, and returns how many new descriptions of its row a screen reader received. */
    private fun show(
        label: String,
        probability: Float,
    ): Int {
        val before = accessibility.sentAccessibilityEvents.size
        view.show(listOf(Classification(0, label, probability)))
        ShadowSystemClock.advanceBy(Duration.ofSeconds(1)) // events wait for others that they can be sent with
        shadowOf(Looper.getMainLooper()).idle()
        return accessibility.sentAccessibilityEvents.drop(before).count {
            it.contentChangeTypes and AccessibilityEvent.CONTENT_CHANGE_TYPE_CONTENT_DESCRIPTION != 0
        }
    }

    private val row get() = view.getChildAt(0)
    private val spoken get() = row.createAccessibilityNodeInfo().contentDescription.toString()

    @Test
    fun `a screen reader reads the percentage that is shown`() {
        show("cat", 0.93f)
        assertEquals("cat, 93 percent", spoken)
        show("cat", 0.41f)
        assertEquals("41 %", row.findViewById<TextView>(R.id.percent).text.toString())
        assertEquals("cat, 41 percent", spoken)
    }

    @Test
    fun `another class is announced, another percentage is not`() {
        accessibility.setEnabled(true)
        show("cat", 0.93f)
        assertEquals(0, show("cat", 0.41f))
        assertEquals(1, show("dog", 0.41f))
        assertEquals("dog, 41 percent", spoken)
    }
}
