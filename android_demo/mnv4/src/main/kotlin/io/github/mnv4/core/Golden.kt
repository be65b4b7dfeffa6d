package io.github.mnv4.core

import java.nio.ByteBuffer

/** A bundle's golden pairs: images, and the float model's outputs for them. */
@Mnv4Internal
public class Golden(
    private val bundle: ModelBundle,
) {
    private val pixels: ByteBuffer = bundle.golden("input").getValue("pixels")
    private val expected = bundle.golden("eager")
    private val imageBytes = bundle.manifest.preprocess.let { it.height * it.width * 3 }

    /** Two at most, as in `mnv4 measure`. */
    private val count = minOf(pixels.limit() / imageBytes, 2)

    /** Returns the RGB bytes of an image. */
    public fun image(index: Int): ByteArray {
        val found = ByteArray(imageBytes)
        pixels.moveTo(index * imageBytes)
        pixels.get(found)
        return found
    }

    /**
     * Compares the outputs here with the float model's.
     *
     * @param run returns the outputs by name for an image.
     * @return the SQNR of the worst output in dB, the median of the images.
     * @throws Mnv4Exception.WrongOutput if an output misses its gate.
     */
    public fun check(run: (ByteArray) -> Map<String, FloatArray>): Double {
        val manifest = bundle.manifest
        val found = List(count) { run(image(it)) }
        return manifest.outputs.minOf { output ->
            val wanted = expected.getValue(output.name)
            val ratios =
                List(count) { i ->
                    val values = FloatArray(output.size)
                    wanted.moveTo(i * output.size * Float.SIZE_BYTES)
                    wanted.asFloatBuffer().get(values)
                    Scores.sqnrDb(values, found[i].getValue(output.name))
                }
            val median = ratios.average() // of two
            val gate = manifest.golden.first { it.source == "eager" && it.tensor == output.name }.minSqnrDb!!
            if (!(median >= gate)) {
                throw Mnv4Exception.WrongOutput(
                    "${manifest.id}: output ${output.name}: ${"%.1f".format(median)} dB, must be $gate or more: " +
                        "the model gives wrong values on this device; use one of another precision or runtime",
                )
            }
            median
        }
    }
}
