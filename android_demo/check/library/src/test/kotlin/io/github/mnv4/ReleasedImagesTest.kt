package io.github.mnv4

import android.app.Application
import android.graphics.BitmapFactory
import android.media.Image
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.core.Mnv4Exception
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File

/** Images that are released too early. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ReleasedImagesTest {
    private val network =
        aside { MobileNetV4.open(Fixtures.context, Fixtures.bundle("conv-small-035-96x96-fp32-tflite")) }

    private fun seven() = BitmapFactory.decodeFile(File(Fixtures.folder, "pictures/seven.jpg").path)

    private fun assertSays(
        fix: String,
        block: () -> Unit,
    ) {
        val message = assertThrows(Mnv4Exception.BadImage::class.java) { block() }.message!!
        assertTrue(message, fix in message)
        assertEquals("7", network.classifyBlocking(seven()).first().label)
    }

    @Test
    fun `a bitmap that is recycled before the call`() {
        val bitmap = seven().apply { recycle() }
        assertSays("recycle it after the call has returned") { network.classifyBlocking(bitmap) }
        assertSays("recycle it after the call has returned") { runBlocking { network.classify(bitmap) } }
    }

    @Test
    fun `a frame that is closed early`() {
        val frame = Closed()
        assertSays("close it after the call has returned") { network.classifyBlocking(frame, 90) }
        assertSays("close it after the call has returned") { runBlocking { network.classify(frame, 90) } }
    }

    /** A frame of a camera, closed: the framework refuses every access then. */
    private class Closed : Image() {
        private fun refuse(): Nothing {
            throwISEIfImageIsInvalid()
            error("it is open")
        }

        override fun getFormat() = refuse()

        override fun getWidth() = refuse()

        override fun getHeight() = refuse()

        override fun getTimestamp() = refuse()

        override fun getTransform() = refuse()

        override fun getScalingMode() = refuse()

        override fun getPlanes(): Array<Plane> = refuse()

        override fun close() = Unit
    }
}
