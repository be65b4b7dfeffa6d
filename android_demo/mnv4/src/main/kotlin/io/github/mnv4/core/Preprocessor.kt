package io.github.mnv4.core

import java.nio.ByteBuffer
import kotlin.math.floor
import kotlin.math.min

/**
 * Turns images into a network's input: resizes, crops the centre, normalises and orders the values.
 *
 * It keeps its buffers and, for images of the same size, its weights. Only one thread at a time may use it.
 *
 * @throws Mnv4Exception.BadBundle if this version does not support the input.
 */
public class Preprocessor(
    private val spec: PreprocessSpec,
    private val input: TensorSpec,
) {
    private var sourceWidth = 0
    private var sourceHeight = 0
    private lateinit var across: Resampling
    private lateinit var down: Resampling
    private var left = 0
    private var top = 0

    private var line = IntArray(0)
    private var narrowed = ByteArray(0)
    private val pixels = ByteArray(spec.height * spec.width * 3)
    private val floats = FloatArray(if (input.dtype == "float32") pixels.size else 0)
    private val bytes = ByteArray(if (floats.isEmpty()) pixels.size else 0)

    /** The float for each byte of each channel. */
    private val normalised =
        Array(3) { c -> FloatArray(256) { (it / 255f - spec.mean[c]) / spec.std[c] } }

    /** The integer for each byte of each channel: the byte unchanged, or quantized. */
    private val integers =
        Array(3) { c -> ByteArray(256) { input.quantization?.of(normalised[c][it]) ?: it.toByte() } }

    init {
        val known = input.dtype == "float32" || input.dtype == "uint8" || input.quantization != null
        if (!known || input.shape.first() != 1) {
            throw Mnv4Exception.BadBundle(
                "manifest.json: inputs: found ${input.dtype} of shape ${input.shape}, " +
                    "allowed: float32, uint8 or quantized integers, one image at a time",
            )
        }
    }

    private fun Quantization.of(value: Float): Byte {
        val integer = Math.rint((value / scale).toDouble()).toInt() + zeroPoint
        return (if (input.dtype == "uint8") integer.coerceIn(0, 255) else integer.coerceIn(-128, 127)).toByte()
    }

    /** Fills [into], from its start, with the input for an image. */
    public fun prepare(
        picture: PixelSource,
        into: ByteBuffer,
    ) {
        feed(resized(picture), into)
    }

    /** Fills [into] with the input for RGB pixels, row by row, that have the network's size. */
    public fun feed(
        pixels: ByteArray,
        into: ByteBuffer,
    ) {
        into.moveTo(0)
        val area = spec.height * spec.width
        val planar = input.layout == "nchw"
        for (c in 0 until 3) {
            val real = normalised[c]
            val whole = integers[c]
            for (i in 0 until area) {
                val value = pixels[3 * i + c].toInt() and 0xff
                val place = if (planar) c * area + i else 3 * i + c
                if (floats.isEmpty()) bytes[place] = whole[value] else floats[place] = real[value]
            }
        }
        if (floats.isEmpty()) into.put(bytes) else into.asFloatBuffer().put(floats)
        into.moveTo(0)
    }

    /** Returns the image's RGB pixels at the network's size, row by row; the next call overwrites them. */
    public fun resized(picture: PixelSource): ByteArray {
        plan(picture.width, picture.height)
        val first = down.starts[top]
        val last = top + spec.height - 1
        val end = (top..last).maxOf { down.starts[it] + down.counts[it] }
        narrow(picture, first, end)
        shorten(first)
        return pixels
    }

    private fun plan(
        width: Int,
        height: Int,
    ) {
        if (width == sourceWidth && height == sourceHeight) return
        if (width < 1 || height < 1) {
            throw Mnv4Exception.BadImage("image: found $width x $height pixels, must be 1 x 1 or more")
        }
        val (toWidth, toHeight) = resizedSize(width, height)
        if (toWidth.toLong() * toHeight > MAX_PIXELS) {
            throw Mnv4Exception.BadImage(
                "image: $width x $height would be resized to $toWidth x $toHeight, at most $MAX_PIXELS pixels are allowed",
            )
        }
        across = Resampling(width, toWidth, spec.interpolation)
        down = Resampling(height, toHeight, spec.interpolation)
        left = Math.rint((toWidth - spec.width) / 2.0).toInt()
        top = Math.rint((toHeight - spec.height) / 2.0).toInt()
        sourceWidth = width
        sourceHeight = height
    }

    private fun resizedSize(
        width: Int,
        height: Int,
    ): Pair<Int, Int> {
        val toWidth = floor(spec.width / spec.crop).toInt()
        val toHeight = floor(spec.height / spec.crop).toInt()
        if (toWidth == toHeight) {
            val shorter = min(width, height)
            return (toHeight.toLong() * width / shorter).toInt() to (toHeight.toLong() * height / shorter).toInt()
        }
        val ratio = min(height.toDouble() / toHeight, width.toDouble() / toWidth)
        return Math.rint(width / ratio).toInt() to Math.rint(height / ratio).toInt()
    }

    /** Filters the rows that are needed to the columns that the crop keeps. */
    private fun narrow(
        picture: PixelSource,
        first: Int,
        end: Int,
    ) {
        val row = spec.width * 3
        if (line.size < picture.width) line = IntArray(picture.width)
        if (narrowed.size < (end - first) * row) narrowed = ByteArray((end - first) * row)
        for (y in first until end) {
            picture.readRow(y, line)
            var out = (y - first) * row
            for (x in left until left + spec.width) {
                var r = Resampling.HALF
                var g = Resampling.HALF
                var b = Resampling.HALF
                val start = across.starts[x]
                val weights = x * across.stride
                for (k in 0 until across.counts[x]) {
                    val pixel = line[start + k]
                    val weight = across.weights[weights + k]
                    r += (pixel shr 16 and 0xff) * weight
                    g += (pixel shr 8 and 0xff) * weight
                    b += (pixel and 0xff) * weight
                }
                narrowed[out++] = clip(r)
                narrowed[out++] = clip(g)
                narrowed[out++] = clip(b)
            }
        }
    }

    /** Filters the columns of [narrowed], whose first row is row [first] of the image. */
    private fun shorten(first: Int) {
        val row = spec.width * 3
        for (y in 0 until spec.height) {
            val start = down.starts[top + y] - first
            val count = down.counts[top + y]
            val weights = (top + y) * down.stride
            for (x in 0 until row) {
                var sum = Resampling.HALF
                for (k in 0 until count) {
                    sum += (narrowed[(start + k) * row + x].toInt() and 0xff) * down.weights[weights + k]
                }
                pixels[y * row + x] = clip(sum)
            }
        }
    }

    private fun clip(sum: Int): Byte = (sum shr Resampling.SHIFT).coerceIn(0, 255).toByte()

    private companion object {
        /** Pillow's limit against decompression bombs. */
        const val MAX_PIXELS = 178_956_970L
    }
}
