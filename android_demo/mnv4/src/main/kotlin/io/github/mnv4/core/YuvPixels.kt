package io.github.mnv4.core

import io.github.mnv4.core.Resampling.Companion.clip
import java.nio.ByteBuffer
import kotlin.math.min

/** One plane of a YUV frame, as `Image.Plane` has it. */
public class YuvPlane(
    /** The bytes of the plane. */
    public val buffer: ByteBuffer,
    /** The distance in bytes from one row to the next. */
    public val rowStride: Int,
    /** The distance in bytes from one value of a row to the next. */
    public val pixelStride: Int,
) {
    private val source = buffer.duplicate()

    /** Returns how many bytes [count] values of a row span. */
    internal fun span(count: Int): Int = (count - 1) * pixelStride + 1

    /** Copies the bytes that [count] values of a row span. */
    internal fun read(
        row: Int,
        column: Int,
        count: Int,
        into: ByteArray,
    ) {
        source.moveTo(row * rowStride + column * pixelStride)
        source.get(into, 0, span(count))
    }
}

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
    override val orientation: Orientation,
) : PixelSource {
    private val bytes = ByteArray(maxOf(y.span(TILE), u.span(TILE / 2 + 1), v.span(TILE / 2 + 1)))

    // What luma and chroma add to the pixels of a row, in fixed point; chroma from an even column on.
    private val luma = IntArray(TILE)
    private val red = IntArray(TILE + 2)
    private val green = IntArray(TILE + 2)
    private val blue = IntArray(TILE + 2)

    override fun read(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
        into: IntArray,
    ) {
        for (x in 0 until width step TILE) {
            val count = min(TILE, width - x)
            val column = this.left + left + x
            val pair = column shr 1
            val pairs = (column + count + 1 shr 1) - pair
            for (y in 0 until height) {
                val row = this.top + top + y
                if (y == 0 || row and 1 == 0) readChroma(row shr 1, pair, pairs)
                readLuma(row, column, count)
                convert(column and 1, count, into, y * width + x)
            }
        }
    }

    private fun readChroma(
        row: Int,
        pair: Int,
        pairs: Int,
    ) {
        u.read(row, pair, pairs, bytes)
        for (i in 0 until pairs) {
            val chroma = (bytes[i * u.pixelStride].toInt() and 0xff) - 128
            blue[2 * i] = 116130 * chroma
            blue[2 * i + 1] = 116130 * chroma
            green[2 * i] = -22554 * chroma
        }
        v.read(row, pair, pairs, bytes)
        for (i in 0 until pairs) {
            val chroma = (bytes[i * v.pixelStride].toInt() and 0xff) - 128
            red[2 * i] = 91881 * chroma
            red[2 * i + 1] = 91881 * chroma
            green[2 * i] -= 46802 * chroma
            green[2 * i + 1] = green[2 * i]
        }
    }

    private fun readLuma(
        row: Int,
        column: Int,
        count: Int,
    ) {
        y.read(row, column, count, bytes)
        for (x in 0 until count) luma[x] = ((bytes[x * y.pixelStride].toInt() and 0xff) shl 16) + (1 shl 15)
    }

    /** Converts a row; each loop is simple enough to become vector instructions. */
    private fun convert(
        odd: Int,
        count: Int,
        into: IntArray,
        at: Int,
    ) {
        for (x in 0 until count) into[at + x] = clip((luma[x] + red[odd + x]) shr 16) shl 16
        for (x in 0 until count) into[at + x] = into[at + x] or (clip((luma[x] + green[odd + x]) shr 16) shl 8)
        for (x in 0 until count) into[at + x] = into[at + x] or clip((luma[x] + blue[odd + x]) shr 16)
    }

    private companion object {
        /** How many pixels of a row are converted at a time. */
        const val TILE = 128
    }
}
