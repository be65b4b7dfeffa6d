package io.github.mnv4.core

import java.nio.ByteBuffer

/** One plane of a YUV frame, as `Image.Plane` has it. */
public class YuvPlane(
    /** The bytes of the plane. */
    public val buffer: ByteBuffer,
    /** The distance in bytes from one row to the next. */
    public val rowStride: Int,
    /** The distance in bytes from one value of a row to the next. */
    public val pixelStride: Int,
)

/**
 * A camera frame of 8 bits with chroma at half the resolution (`YUV_420_888`), or a part of it.
 *
 * Colours are converted by BT.601 over the full range, which cameras give and JPEG uses, in 16-bit
 * fixed point. Each chroma value applies to four pixels.
 */
public class YuvPixels(
    private val y: YuvPlane,
    private val u: YuvPlane,
    private val v: YuvPlane,
    private val left: Int,
    private val top: Int,
    override val width: Int,
    override val height: Int,
) : PixelSource {
    override fun readRow(
        y: Int,
        into: IntArray,
    ) {
        for (x in 0 until width) into[x] = pixel(left + x, top + y)
    }

    override fun readColumn(
        x: Int,
        into: IntArray,
    ) {
        for (y in 0 until height) into[y] = pixel(left + x, top + y)
    }

    private fun pixel(
        column: Int,
        row: Int,
    ): Int {
        val luma = (y.at(column, row) shl 16) + (1 shl 15)
        val blue = u.at(column shr 1, row shr 1) - 128
        val red = v.at(column shr 1, row shr 1) - 128
        val r = clip((luma + 91881 * red) shr 16)
        val g = clip((luma - 22554 * blue - 46802 * red) shr 16)
        val b = clip((luma + 116130 * blue) shr 16)
        return (r shl 16) or (g shl 8) or b
    }

    private fun YuvPlane.at(
        column: Int,
        row: Int,
    ): Int = buffer.get(row * rowStride + column * pixelStride).toInt() and 0xff

    private fun clip(value: Int): Int = value.coerceIn(0, 255)
}
