package io.github.mnv4.core

import java.nio.ByteBuffer

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
    private var resizer: Resizer? = null
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
        val integer = Math.rint((value / scale).toDouble()) + zeroPoint // may be larger than any Int
        return (if (input.dtype == "uint8") integer.coerceIn(0.0, 255.0) else integer.coerceIn(-128.0, 127.0))
            .toInt()
            .toByte()
    }

    /** Fills [into], from its start, with the input for an image. */
    public fun prepare(
        image: PixelSource,
        into: ByteBuffer,
    ) {
        feed(resized(image), into)
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

    /** Returns the image's RGB pixels, upright, at the network's size, row by row; the next call overwrites them. */
    public fun resized(image: PixelSource): ByteArray {
        val resizer = resizer?.takeIf { it.fits(image) } ?: Resizer(spec, image).also { resizer = it }
        resizer.resize(image, pixels)
        return pixels
    }
}
