package io.github.mnv4.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A camera frame of `RGBA_8888`, or a part of it. Alpha is dropped without blending. */
internal class RgbaPixels(
    private val plane: FramePlane,
    private val left: Int,
    private val top: Int,
    override val width: Int,
    override val height: Int,
    override val orientation: Orientation,
) : PixelSource {
    private val bytes: ByteBuffer = plane.buffer.duplicate().order(ByteOrder.BIG_ENDIAN)

    override fun read(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
        into: IntArray,
    ) {
        for (y in 0 until height) {
            val start = (this.top + top + y) * plane.rowStride + (this.left + left) * plane.pixelStride
            for (x in 0 until width) into[y * width + x] = bytes.getInt(start + x * plane.pixelStride) ushr 8
        }
    }
}
