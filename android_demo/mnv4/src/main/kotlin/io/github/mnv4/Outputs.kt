package io.github.mnv4

import io.github.mnv4.core.Classification
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.Scores

/** A feature map, whose values are in the order that [layout] says. */
public class FeatureMap(
    /** The kind of the output: `stage_N`. */
    public val kind: String,
    /** The shape: (1, C, H, W) or (1, H, W, C). */
    public val shape: List<Int>,
    /** The order of the axes: `nchw` or `nhwc`. */
    public val layout: String,
    /** The values; their number follows from [shape]. */
    public val values: FloatArray,
)

/** A network's outputs for one image. */
public class Outputs internal constructor(
    private val manifest: ModelManifest,
    /** The values of all outputs, in the manifest's order. */
    public val values: List<FloatArray>,
) {
    /** The probabilities of the classes, in the order of the labels; null without a class output. */
    public val probabilities: FloatArray? by lazy {
        of("probabilities") ?: of("logits")?.let(Scores::softmax)
    }

    /** The pooled features; null if the bundle does not output them. */
    public val embedding: FloatArray? get() = of("embedding")

    /** The feature maps that the bundle outputs. */
    public val featureMaps: List<FeatureMap>
        get() =
            manifest.outputs.mapIndexedNotNull { i, output ->
                output.layout?.let { FeatureMap(output.kind, output.shape, it, values[i]) }
            }

    /**
     * Returns the [count] most probable classes, the most probable first.
     *
     * @throws Mnv4Exception.Unsupported if the bundle has no class output.
     */
    public fun top(count: Int): List<Classification> {
        val found =
            probabilities ?: throw Mnv4Exception.Unsupported(
                "${manifest.id}: has no classes, only ${manifest.outputs.joinToString { it.kind }}",
            )
        return Scores.top(found, count, manifest.labels)
    }

    private fun of(kind: String): FloatArray? {
        val index = manifest.outputs.indexOfFirst { it.kind == kind }
        return if (index < 0) null else values[index]
    }
}
