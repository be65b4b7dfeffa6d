package io.github.mnv4.camerax

import androidx.camera.core.ImageProxy
import io.github.mnv4.CameraFrame
import io.github.mnv4.core.FramePlane
import io.github.mnv4.core.PixelSource
import io.github.mnv4.framePixels

/** Makes sources of pixels from CameraX's images. */
public object ImageProxies {
    /**
     * Returns a frame's pixels within its `cropRect`, upright by its `rotationDegrees`.
     *
     * `YUV_420_888`, which is the default of `ImageAnalysis`, and `RGBA_8888` are accepted. The pixels are
     * read while the network runs, so the frame must not be closed before the call has returned.
     *
     * ```
     * analysis.setAnalyzer(executor) { frame ->
     *     frame.use { show(network.runBlocking(ImageProxies.of(it)).top(3)) }
     * }
     * ```
     *
     * @throws io.github.mnv4.core.Mnv4Exception.BadImage if it is closed or has another format.
     */
    @JvmStatic
    public fun of(frame: ImageProxy): PixelSource =
        framePixels {
            val planes = frame.planes.map { FramePlane(it.buffer, it.rowStride, it.pixelStride) }
            CameraFrame(frame.format, planes, frame.cropRect, frame.imageInfo.rotationDegrees)
        }
}
