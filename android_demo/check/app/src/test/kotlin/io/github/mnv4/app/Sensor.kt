package io.github.mnv4.app

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.ImageFormat
import android.graphics.Matrix
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.hardware.camera2.impl.CameraCaptureSessionImpl
import android.media.Image
import android.media.ImageReader
import android.os.Build
import android.os.Handler
import android.os.Looper
import android.util.Range
import android.util.Size
import android.view.Surface
import android.view.TextureView
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import org.robolectric.annotation.RealObject
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowCameraCaptureSessionImpl
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.ShadowCameraManager
import org.robolectric.shadows.ShadowCaptureRequestBuilder
import org.robolectric.shadows.ShadowImageReader
import org.robolectric.shadows.StreamConfigurationMapBuilder
import org.robolectric.util.ReflectionHelpers
import java.nio.ByteBuffer
import java.util.Collections
import java.util.WeakHashMap
import java.util.concurrent.ConcurrentLinkedQueue
import kotlin.math.roundToInt

/** What Robolectric's camera lacks: a sensor that gives frames, a record of the requests, and failures. */
internal object Sensor {
    /** What the camera service throws, if anything. */
    var failure: Exception? = null

    /** The requests of the session, with their settings and targets. */
    val requests = ArrayList<Request>()

    class Request(
        val settings: Map<CaptureRequest.Key<*>, Any?>,
        val targets: Collection<Surface>,
    )

    internal val frames = ConcurrentLinkedQueue<Image>()
    internal val building = Collections.synchronizedMap(WeakHashMap<CaptureRequest, Map<CaptureRequest.Key<*>, Any?>>())
    internal var reader: ImageReader? = null
    var readerClosed = false
        internal set

    fun reset() {
        failure = null
        requests.clear()
        frames.clear()
        reader = null
        readerClosed = false
    }

    /** Adds a camera to the device. */
    fun add(
        id: String,
        front: Boolean,
        orientation: Int,
        vararg sizes: Size = arrayOf(Size(1280, 720), Size(640, 480)),
        about: Map<out CameraCharacteristics.Key<*>, Any> = emptyMap(),
    ) {
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        val streams = StreamConfigurationMapBuilder.newBuilder()
        sizes.forEach { streams.addOutputSize(ImageFormat.YUV_420_888, it) }
        val facing = if (front) CameraCharacteristics.LENS_FACING_FRONT else CameraCharacteristics.LENS_FACING_BACK
        shadowOf(facts).set(CameraCharacteristics.LENS_FACING, facing)
        shadowOf(facts).set(CameraCharacteristics.SENSOR_ORIENTATION, orientation)
        shadowOf(facts).set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, streams.build())
        about.forEach { (key, value) -> shadowOf(facts).set(key, value) }
        shadowOf(app.getSystemService(CameraManager::class.java)).addCamera(id, facts)
    }

    /** Adds the cameras of a phone: one with a torch on the back, and one on the front. */
    fun addPhone() {
        val back = HashMap<CameraCharacteristics.Key<*>, Any>()
        back[CameraCharacteristics.FLASH_INFO_AVAILABLE] = true
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
            back[CameraCharacteristics.CONTROL_ZOOM_RATIO_RANGE] = Range(0.5f, 6f)
        }
        add("0", front = false, orientation = 90, about = back)
        add("1", front = true, orientation = 270)
    }

    /** Gives a frame to the open camera. */
    fun give(frame: Image) {
        val reader = checkNotNull(reader) { "no camera is open" }

        fun listener() = ReflectionHelpers.getField<ImageReader.OnImageAvailableListener?>(reader, "mListener")
        await { listener() != null }
        frames += frame
        ReflectionHelpers.getField<Handler>(reader, "mListenerHandler").post { listener()?.onImageAvailable(reader) }
    }
}

/** A scene as a camera sees it, given as the user sees it: [upright] on a display that is turned by [turns] quarters. */
internal class Scene(
    val upright: Bitmap,
    front: Boolean,
    orientation: Int,
    turns: Int,
) {
    /** What the sensor gives. Android documents SENSOR_ORIENTATION and how it adds up with the display's rotation. */
    val raw = turned(upright, -(if (front) orientation + 90 * turns else orientation - 90 * turns))

    /** What a user expects to see. */
    val expected = if (front) mirrored(upright) else upright

    /** What a texture gets: upright on the display in its natural position. */
    private val texture = turned(expected, 90 * turns)

    /** What a TextureView shows, which the GPU draws on a device. */
    fun shown(view: TextureView): Bitmap {
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(bitmap)
        canvas.concat(view.getTransform(null))
        val bounds = RectF(0f, 0f, view.width.toFloat(), view.height.toFloat())
        canvas.drawBitmap(texture, null, bounds, android.graphics.Paint(android.graphics.Paint.FILTER_BITMAP_FLAG))
        return bitmap
    }

    companion object {
        fun turned(
            bitmap: Bitmap,
            degrees: Int,
        ): Bitmap = changed(bitmap, Matrix().apply { postRotate(Math.floorMod(degrees, 360).toFloat()) })

        private fun mirrored(bitmap: Bitmap): Bitmap = changed(bitmap, Matrix().apply { postScale(-1f, 1f) })

        private fun changed(
            bitmap: Bitmap,
            how: Matrix,
        ): Bitmap = Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, how, false)
    }
}

/** Acts as the platform, which gives a TextureView its texture as soon as it draws it on a GPU. */
internal fun appear(view: TextureView) {
    val texture = SurfaceTexture(0)
    view.setSurfaceTexture(texture)
    view.surfaceTextureListener!!.onSurfaceTextureAvailable(texture, view.width, view.height)
    shadowOf(Looper.getMainLooper()).idle()
}

@Implements(CameraManager::class)
internal class SensorManager : ShadowCameraManager() {
    @Implementation
    public override fun getCameraIdList(): Array<String> {
        Sensor.failure?.let { throw it }
        return super.getCameraIdList()
    }
}

@Implements(ImageReader::class)
internal class SensorReader : ShadowImageReader() {
    @RealObject
    private lateinit var reader: ImageReader

    @Implementation
    public override fun nativeGetSurface(): Surface {
        Sensor.reader = reader
        Sensor.readerClosed = false
        return super.nativeGetSurface()
    }

    @Implementation
    fun acquireLatestImage(): Image? = Sensor.frames.poll()

    @Implementation
    public override fun close() {
        if (Sensor.reader === reader) Sensor.readerClosed = true
        super.close()
    }
}

@Implements(CaptureRequest.Builder::class)
internal class SensorRequest : ShadowCaptureRequestBuilder() {
    @RealObject
    private lateinit var builder: CaptureRequest.Builder
    private val settings = HashMap<CaptureRequest.Key<*>, Any?>()

    @Implementation
    public override fun <T> set(
        key: CaptureRequest.Key<T>,
        value: T,
    ) {
        settings[key] = value
        super.set(key, value)
    }

    @Implementation
    fun build(): CaptureRequest {
        val request: CaptureRequest = Shadow.directlyOn(builder, CaptureRequest.Builder::class.java, "build")
        Sensor.building[request] = settings
        return request
    }
}

@Implements(value = CameraCaptureSessionImpl::class, isInAndroidSdk = false)
internal class SensorSession : ShadowCameraCaptureSessionImpl() {
    @Implementation
    public override fun setRepeatingRequest(
        request: CaptureRequest,
        callback: CameraCaptureSession.CaptureCallback?,
        handler: Handler?,
    ): Int {
        Sensor.requests += Sensor.Request(Sensor.building.getValue(request), request.targets)
        return super.setRepeatingRequest(request, callback, handler)
    }
}

/** A frame of a camera. */
internal class Frame(
    /** The picture as the sensor gives it, not turned. */
    picture: Bitmap,
) : Image() {
    private val wide = picture.width / 2 * 2
    private val high = picture.height / 2 * 2
    private val luma = ByteArray(wide * high)
    private val chroma = ByteArray(wide * high / 2)

    init {
        mIsImageValid = true
        val pixels = IntArray(picture.width * picture.height)
        picture.getPixels(pixels, 0, picture.width, 0, 0, picture.width, picture.height)
        for (y in 0 until high) {
            for (x in 0 until wide) {
                val pixel = pixels[y * picture.width + x]
                val r = pixel shr 16 and 0xff
                val g = pixel shr 8 and 0xff
                val b = pixel and 0xff
                luma[y * wide + x] = (0.299 * r + 0.587 * g + 0.114 * b).roundToInt().toByte()
                val place = y / 2 * wide + x / 2 * 2
                chroma[place] = (128 - 0.168736 * r - 0.331264 * g + 0.5 * b).roundToInt().coerceAtMost(255).toByte()
                chroma[place + 1] =
                    (128 + 0.5 * r - 0.418688 * g - 0.081312 * b).roundToInt().coerceAtMost(255).toByte()
            }
        }
    }

    private class Of(
        private val bytes: ByteBuffer,
        private val row: Int,
        private val pixel: Int,
    ) : Plane() {
        override fun getRowStride() = row

        override fun getPixelStride() = pixel

        override fun getBuffer() = bytes
    }

    val closed get() = !mIsImageValid

    override fun getFormat() = ImageFormat.YUV_420_888

    override fun getWidth() = wide

    override fun getHeight() = high

    override fun getTimestamp() = 0L

    override fun getTransform() = 0

    override fun getScalingMode() = 0

    override fun getPlanes(): Array<Plane> {
        throwISEIfImageIsInvalid()
        val red = ByteBuffer.wrap(chroma, 1, chroma.size - 1).slice()
        return arrayOf(Of(ByteBuffer.wrap(luma), wide, 1), Of(ByteBuffer.wrap(chroma), wide, 2), Of(red, wide, 2))
    }

    override fun close() {
        mIsImageValid = false
    }
}
