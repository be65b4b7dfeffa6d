package io.github.mnv4.app

import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.os.Looper
import android.util.Size
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder

/** Uses Robolectric's camera, which opens and is configured, but gives no frames. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34])
class CameraTest {
    private val failures = ArrayList<String>()
    private val manager = shadowOf(app.getSystemService(CameraManager::class.java))

    private fun add(
        id: String,
        facing: Int,
        vararg sizes: Size,
    ) {
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        val streams = StreamConfigurationMapBuilder.newBuilder()
        sizes.forEach { streams.addOutputSize(ImageFormat.YUV_420_888, it) }
        shadowOf(facts).set(CameraCharacteristics.LENS_FACING, facing)
        shadowOf(facts).set(CameraCharacteristics.SENSOR_ORIENTATION, 90)
        shadowOf(facts).set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, streams.build())
        manager.addCamera(id, facts)
    }

    private fun find() = Camera.find(app, { _, _ -> }, failures::add)

    @Test
    fun `no camera, and one without a size`() {
        assertNull(find())
        add("0", CameraCharacteristics.LENS_FACING_BACK)
        assertNull(find())
    }

    @Test
    fun `the back camera, opened and closed`() {
        add("0", CameraCharacteristics.LENS_FACING_FRONT, Size(320, 240))
        add("1", CameraCharacteristics.LENS_FACING_BACK, Size(1280, 720), Size(640, 480))
        val camera = find()
        assertNotNull(camera)
        assertEquals(Size(640, 480), camera!!.size)
        camera.start(SurfaceTexture(0))
        shadowOf(Looper.getMainLooper()).idle()
        camera.close()
        shadowOf(Looper.getMainLooper()).idle()
        assertTrue("$failures", failures.isEmpty())
    }
}
