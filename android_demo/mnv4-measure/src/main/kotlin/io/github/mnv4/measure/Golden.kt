package io.github.mnv4.measure

import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.Scores
import io.github.mnv4.core.moveTo
import java.nio.ByteBuffer

/** An output that missed its gate: nothing is timed then. */
public class WrongOutput(
    message: String,
) : Exception(message)

/** A bundle's golden pairs. */
internal class Golden(
    private val bundle: ModelBundle,
) {
    private val pixels: ByteBuffer = bundle.golden("input")["pixels"] ?: lacks("pixels")
    private val expected = bundle.golden("eager")
    private val pictureBytes = bundle.manifest.preprocess.let { it.height * it.width * 3 }
    private val count = minOf(pixels.limit() / pictureBytes, CHECKED)

    init {
        if (count == 0) lacks("pixels")
        for (output in bundle.manifest.outputs) {
            val found = expected[output.name] ?: lacks(output.name)
            if (found.limit() < count * output.size * Float.SIZE_BYTES) lacks("enough of ${output.name}")
        }
    }

    private fun lacks(what: String): Nothing =
        throw Mnv4Exception.BadBundle("${bundle.manifest.id}: golden: lacks $what")

    /** RGB pixels of one picture. */
    fun picture(index: Int): ByteArray {
        val found = ByteArray(pictureBytes)
        pixels.moveTo(index * pictureBytes)
        pixels.get(found)
        return found
    }

    /**
     * What the network gives here, against the float model's.
     *
     * @return the SQNR in dB of the worst output, the median over the pictures.
     * @throws WrongOutput an output missed its gate.
     */
    fun check(model: MobileNetV4): Double {
        val outputs = bundle.manifest.outputs
        val ratios = outputs.map { DoubleArray(count) }
        for (i in 0 until count) {
            val found = model.runPixels(picture(i))
            outputs.forEachIndexed { j, output ->
                val wanted = expected.getValue(output.name)
                val values = FloatArray(output.size)
                wanted.moveTo(i * output.size * Float.SIZE_BYTES)
                wanted.asFloatBuffer().get(values)
                ratios[j][i] = Scores.sqnrDb(values, found[output.name])
            }
        }
        var worst = Double.POSITIVE_INFINITY
        outputs.forEachIndexed { j, output ->
            val ratio = Statistics.of(ratios[j])!!.percentile(50.0)
            val gate =
                bundle.manifest.golden
                    .first { it.source == "eager" && it.tensor == output.name }
                    .minSqnrDb
            if (gate == null || !(ratio >= gate)) {
                throw WrongOutput("output ${output.name}: ${"%.1f".format(ratio)} dB, must be $gate or more")
            }
            worst = minOf(worst, ratio)
        }
        return worst
    }

    private companion object {
        /** The number of golden pictures to check, as in `mnv4 measure`. */
        const val CHECKED = 2
    }
}
