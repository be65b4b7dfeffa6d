package io.github.mnv4.app

import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.Rect
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.os.Looper
import android.util.Size
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.Flow
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch

/** Uses Robolectric's camera, to which [Sensor] adds frames. */
@RunWith(RobolectricTestRunner::class)
@Config(
    sdk = [34],
    shadows = [SensorManager::class, SensorReader::class, SensorRequest::class, SensorSession::class],
)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraTest {
    private val seen = CopyOnWriteArrayList<Image>()
    private val failures = ArrayList<String>()
    private val manager = shadowOf(app.getSystemService(CameraManager::class.java))
    private val opened = ArrayList<Camera>()
    private val scope = CoroutineScope(Dispatchers.Default)

    @Before
    fun reset() = Sensor.reset()

    @After
    fun close() {
        opened.forEach(Camera::close)
        scope.cancel()
    }

    private fun camera(lens: Lens): Camera {
        val look: suspend (Flow<Image>) -> Unit = { frames ->
            frames.collect { frame ->
                seen += frame
                frame.close()
            }
        }
        return Camera(app, lens, SurfaceTexture(0), scope, look, failures::add).also(opened::add)
    }

    private fun open(lens: Lens): Camera {
        val camera = camera(lens)
        camera.start()
        shadowOf(Looper.getMainLooper()).idle()
        return camera
    }

    private fun frame() = Frame(Bitmap.createBitmap(64, 48, Bitmap.Config.ARGB_8888).apply { eraseColor(Color.GREEN) })

    private fun threads() = Thread.getAllStackTraces().keys.count { it.name == "frames" && it.isAlive }

    @Test
    fun `no camera, and one that gives no frames`() {
        assertEquals(emptyList<Lens>(), Lens.all(app))
        Sensor.add("0", front = false, orientation = 90, sizes = emptyArray())
        assertEquals(emptyList<Lens>(), Lens.all(app))
    }

    @Test
    fun `one camera of each side, the back one first`() {
        Sensor.add("front", front = true, orientation = 270)
        Sensor.add("back", front = false, orientation = 90)
        Sensor.add("wide", front = false, orientation = 90)
        val lenses = Lens.all(app)
        assertEquals(listOf("back" to false, "front" to true), lenses.map { it.id to it.front })
        assertEquals(Size(640, 480), lenses[0].size)
        assertEquals(Size(480, 640), lenses[0].natural)
        assertFalse(lenses[0].torch)
        assertEquals(1f..1f, lenses[0].zooms)
    }

    @Test
    fun `opened, it gives frames until it is closed`() {
        Sensor.addPhone()
        val camera = open(Lens.all(app)[0])
        val request = Sensor.requests.single()
        assertEquals(2, request.targets.size)
        assertTrue(Sensor.reader!!.surface in request.targets)
        assertEquals(
            CameraMetadata.CONTROL_AF_MODE_CONTINUOUS_PICTURE,
            request.settings[CaptureRequest.CONTROL_AF_MODE],
        )
        while (seen.size < 3) {
            val frame = frame()
            Sensor.give(frame)
            await { frame.closed }
        }
        assertEquals(640 to 480, Sensor.reader!!.width to Sensor.reader!!.height)
        camera.close()
        await { Sensor.readerClosed && threads() == 0 }
        assertEquals(emptyList<String>(), failures)
    }

    @Test
    fun `a frame that is read when the camera is closed keeps its memory until then`() {
        Sensor.addPhone()
        val reading = CountDownLatch(1)
        val read = CountDownLatch(1)
        val look: suspend (Flow<Image>) -> Unit = { frames ->
            frames.collect {
                reading.countDown()
                read.await()
                seen += it
            }
        }
        val camera = Camera(app, Lens.all(app)[0], SurfaceTexture(0), scope, look, failures::add)
        camera.start()
        while (reading.count > 0) {
            Sensor.give(frame())
            letMainWork()
        }
        camera.close()
        Thread.sleep(50)
        assertFalse(Sensor.readerClosed)
        read.countDown()
        await { Sensor.readerClosed && threads() == 0 }
        assertEquals(1, seen.size)
    }

    @Test
    fun `closed before it is open, it asks for nothing`() {
        Sensor.addPhone()
        val camera = camera(Lens.all(app)[0])
        camera.start()
        camera.close()
        await { Sensor.readerClosed && threads() == 0 }
        assertEquals(0, Sensor.requests.size)
        assertEquals(emptyList<String>(), failures)
    }

    @Test
    fun `another app takes it`() {
        Sensor.addPhone()
        open(Lens.all(app)[0])
        manager.triggerDisconnect()
        await { failures.isNotEmpty() }
        assertEquals(listOf("Another app is using it."), failures)
        await { Sensor.readerClosed && threads() == 0 }
    }

    @Test
    fun `a camera service that throws`() {
        Sensor.addPhone()
        for ((thrown, said) in listOf(
            CameraAccessException(CameraAccessException.CAMERA_DISABLED) to "turns it off",
            CameraAccessException(CameraAccessException.MAX_CAMERAS_IN_USE) to "Another app",
            CameraAccessException(CameraAccessException.CAMERA_ERROR, "no answer") to "reported: CAMERA_ERROR",
            SecurityException("not allowed") to "not allowed",
            IllegalArgumentException("unknown camera 7") to "unknown camera 7",
        )) {
            Sensor.failure = thrown
            val message = assertThrows(CameraFailed::class.java) { Lens.all(app) }.message!!
            assertTrue(message, said in message)
        }
    }

    @Test
    fun `a camera that is gone when it is opened`() {
        Sensor.addPhone()
        val lens = Lens.all(app)[1]
        manager.removeCamera("1")
        open(lens)
        assertEquals(1, failures.size)
        assertTrue(failures[0], failures[0].startsWith("The device reported: "))
        await { Sensor.readerClosed && threads() == 0 }
    }

    @Test
    fun `torch and zoom`() {
        Sensor.addPhone()
        val lens = Lens.all(app)[0]
        assertTrue(lens.torch)
        assertEquals(0.5f..6f, lens.zooms)
        val camera = open(lens)
        camera.torch = true
        camera.zoom = 2f
        camera.torch = false
        val expected = listOf(null to 1f, FLASH to 1f, FLASH to 2f, null to 2f)
        assertEquals(
            expected,
            Sensor.requests.map {
                it.settings[CaptureRequest.FLASH_MODE] to it.settings[CaptureRequest.CONTROL_ZOOM_RATIO]
            },
        )
        assertTrue(Sensor.requests.all { it.targets.size == 2 })
    }

    @Test
    fun `steps of the zoom, and around again`() {
        Sensor.addPhone()
        val (back, front) = Lens.all(app)
        assertEquals(listOf(2f, 4f, 6f, 0.5f, 1f), generateSequence(back.next(1f), back::next).take(5).toList())
        assertEquals(2f, back.next(1.3f))
        assertEquals(1f, front.next(1f))
    }

    @Test
    fun `an older camera zooms by cropping the middle of its sensor`() {
        val facts =
            mapOf(
                CameraCharacteristics.SENSOR_INFO_ACTIVE_ARRAY_SIZE to Rect(0, 0, 4000, 3000),
                CameraCharacteristics.SCALER_AVAILABLE_MAX_DIGITAL_ZOOM to 4f,
            )
        Sensor.add("0", front = false, orientation = 90, about = facts)
        val lens = Lens.all(app).single()
        assertEquals(1f..4f, lens.zooms)
        open(lens).zoom = 4f
        val crops = Sensor.requests.map { it.settings[CaptureRequest.SCALER_CROP_REGION] }
        assertEquals(listOf(Rect(0, 0, 4000, 3000), Rect(1500, 1125, 2500, 1875)), crops)
    }

    @Test
    fun `a zoom without a sensor's size is none`() {
        val facts = mapOf(CameraCharacteristics.SCALER_AVAILABLE_MAX_DIGITAL_ZOOM to 4f)
        Sensor.add("0", front = false, orientation = 90, about = facts)
        assertEquals(1f..1f, Lens.all(app).single().zooms)
    }

    private companion object {
        const val FLASH = CameraMetadata.FLASH_MODE_TORCH
    }
}
