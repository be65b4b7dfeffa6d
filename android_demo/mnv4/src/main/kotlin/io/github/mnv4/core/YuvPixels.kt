package io.github.mnv4.core

import io.github.mnv4.core.Resampling.Companion.clip
import java.nio.ByteBuffer
import kotlin.math.min

/** One plane of a camera frame, as `Image.Plane` has it. */
public class FramePlane(
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
    private val y: FramePlane,
    private val u: FramePlane,
    private val v: FramePlane,
    private val left: Int,
    private val top: Int,
    override val width: Int,
    override val height: Int,
    override val orientation: Orientation,
) : PixelSource {
    private val bytes = ByteArray(maxOf(y.span(TILE + 2), u.span(TILE / 2 + 1), v.span(TILE / 2 + 1)))

    // Part of a row from an even column on: its luma, what chroma adds to each pixel, and the pixels.
    private val luma = IntArray(TILE + 2)
    private val red = IntArray(TILE + 2)
    private val green = IntArray(TILE + 2)
    private val blue = IntArray(TILE + 2)
    private val pixels = IntArray(TILE + 2)

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
            val odd = column and 1
            for (y in 0 until height) {
                val row = this.top + top + y
                if (y == 0 || row and 1 == 0) readChroma(row shr 1, column shr 1, (odd + count + 1) / 2)
                readLuma(row, column - odd, odd + count)
                convert(odd + count)
                System.arraycopy(pixels, odd, into, y * width + x, count)
            }
        }
    }

    private fun readChroma(
        row: Int,
        column: Int,
        count: Int,
    ) {
        u.read(row, column, count, bytes)
        for (i in 0 until count) {
            val chroma = (bytes[i * u.pixelStride].toInt() and 0xff) - 128
            green[2 * i] = HALF - 22554 * chroma
            blue[2 * i] = (HALF + 116130 * chroma) shr 16
            blue[2 * i + 1] = blue[2 * i]
        }
        v.read(row, column, count, bytes)
        for (i in 0 until count) {
            val chroma = (bytes[i * v.pixelStride].toInt() and 0xff) - 128
            green[2 * i] = (green[2 * i] - 46802 * chroma) shr 16
            green[2 * i + 1] = green[2 * i]
            red[2 * i] = (HALF + 91881 * chroma) shr 16
            red[2 * i + 1] = red[2 * i]
        }
    }

    private fun readLuma(
        row: Int,
        column: Int,
        count: Int,
    ) {
        y.read(row, column, count, bytes)
        for (x in 0 until count) luma[x] = bytes[x * y.pixelStride].toInt() and 0xff
    }

    /** Fills [pixels]. Each loop is simple enough to become vector instructions. */
    private fun convert(count: Int) {
        for (x in 0 until count) pixels[x] = clip(luma[x] + red[x]) shl 16
        for (x in 0 until count) pixels[x] = pixels[x] or (clip(luma[x] + green[x]) shl 8)
        for (x in 0 until count) pixels[x] = pixels[x] or clip(luma[x] + blue[x])
    }

    private companion object {
        /** How many pixels of a row are converted at a time. */
        const val TILE = 128

        /** One half in 16-bit fixed point. */
        const val HALF = 1 shl 15
    }
}
