package io.github.mnv4

import android.app.Application
import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.graphics.Rect
import androidx.camera.core.ImageInfo
import androidx.camera.core.ImageProxy
import io.github.mnv4.camerax.ImageProxies
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.uprightHeight
import io.github.mnv4.core.uprightWidth
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import java.nio.ByteBuffer

/** Frames of CameraX, whose interfaces are declared in stubs/. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class ImageProxiesTest {
    @Test
    fun `within the crop, upright by the frame's own rotation`() {
        // Luma is ten times the row and the column; the right column is the lower row now.
        val found = ImageProxies.of(Yuv(rotation = 90, crop = Rect(2, 0, 6, 2)))
        assertEquals(2 to 4, found.uprightWidth to found.uprightHeight)
        val wanted = listOf(12, 2, 13, 3, 14, 4, 15, 5)
        assertEquals(wanted, Fixtures.rgb(found).toList().chunked(3) { it[0].toInt() })
    }

    @Test
    fun `as the output format RGBA_8888 has them`() {
        val frame =
            object : Yuv(rotation = 0, crop = Rect(1, 0, 2, 1)) {
                override fun getFormat() = PixelFormat.RGBA_8888

                override fun getPlanes() =
                    arrayOf<ImageProxy.PlaneProxy>(Plane(byteArrayOf(0, 0, 0, -1, 1, 2, 3, -1), 8, 4))
            }
        assertEquals(listOf<Byte>(1, 2, 3), Fixtures.rgb(ImageProxies.of(frame)).toList())
    }

    @Test
    fun `a frame that is closed, or of another format`() {
        val frame = Yuv(rotation = 0, crop = Rect(0, 0, 8, 2))
        frame.close()
        val closed = assertThrows(Mnv4Exception.BadImage::class.java) { ImageProxies.of(frame) }
        assertEquals("frame: is closed; close it after the call has returned", closed.message)
        val jpeg =
            object : Yuv(rotation = 0, crop = Rect(0, 0, 8, 2)) {
                override fun getFormat() = ImageFormat.JPEG
            }
        val other = assertThrows(Mnv4Exception.BadImage::class.java) { ImageProxies.of(jpeg) }
        assertEquals("frame: found format 256", other.message!!.substringBefore(','))
    }

    private class Plane(
        private val bytes: ByteArray,
        private val row: Int,
        private val pixel: Int,
    ) : ImageProxy.PlaneProxy {
        override fun getRowStride() = row

        override fun getPixelStride() = pixel

        override fun getBuffer(): ByteBuffer = ByteBuffer.wrap(bytes)
    }

    /** 8 x 2 pixels without colour. */
    private open class Yuv(
        private val rotation: Int,
        private val crop: Rect,
    ) : ImageProxy {
        private var open = true

        override fun getFormat() = ImageFormat.YUV_420_888

        override fun getCropRect() = crop

        override fun getImageInfo() = ImageInfo { rotation }

        override fun getPlanes(): Array<ImageProxy.PlaneProxy> {
            check(open) { "Image is already closed" }
            val luma = Plane(ByteArray(16) { (it / 8 * 10 + it % 8).toByte() }, 8, 1)
            val chroma = Plane(ByteArray(8) { -128 }, 8, 2)
            return arrayOf(luma, chroma, chroma)
        }

        override fun close() {
            open = false
        }
    }
}
