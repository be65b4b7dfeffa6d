package io.github.mnv4

import io.github.mnv4.core.Classification
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.Scores

/** A feature map, whose values are in the order that [layout] says. */
public class FeatureMap(
    /** The kind of the output: `stage_N`, or a name of a head of one's own. */
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
    private val values: List<FloatArray>,
    /** How long the call took. */
    public val times: Times,
) {
    /** How long the parts of a call took, in milliseconds. */
    public data class Times(
        /** The time from the image to the input. */
        public val preprocess: Double,
        /** The time from the input to the outputs. */
        public val network: Double,
    )

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

    /** The values of all outputs by the names that the manifest gives them, in its order. */
    public val byName: Map<String, FloatArray>
        get() = manifest.outputs.indices.associate { manifest.outputs[it].name to values[it] }

    /**
     * Returns the values of the output called [name], as in `outputs["embedding"]`.
     *
     * @throws Mnv4Exception.Unsupported if the bundle has no such output.
     */
    @Throws(Mnv4Exception::class)
    public operator fun get(name: String): FloatArray {
        val names = manifest.outputs.map { it.name }
        val index = names.indexOf(name)
        if (index < 0) throw Mnv4Exception.Unsupported("${manifest.id}: has no output '$name', only $names")
        return values[index]
    }

    /**
     * Returns the most probable classes, the most probable first.
     *
     * @param count how many classes to return at most.
     * @param threshold the lowest probability of a class that is returned.
     * @param allow the labels of the classes that may be returned; null for all. Probabilities stay
     *     those among all classes.
     * @throws Mnv4Exception.Unsupported if the bundle has no class output, or no class of a label in [allow].
     */
    @JvmOverloads
    @Throws(Mnv4Exception::class)
    public fun top(
        count: Int,
        threshold: Float = 0f,
        allow: Set<String>? = null,
    ): List<Classification> {
        val found =
            probabilities ?: throw Mnv4Exception.Unsupported(
                "${manifest.id}: has no classes, only ${manifest.outputs.joinToString { it.kind }}",
            )
        require(threshold in 0f..1f) { "threshold: found $threshold, must be from 0 to 1" }
        if (allow != null) {
            val strange = allow - (manifest.labels ?: found.indices.map(Int::toString)).toSet()
            if (strange.isNotEmpty()) {
                throw Mnv4Exception.Unsupported("allow: found $strange, which are no classes of ${manifest.id}")
            }
        }
        return Scores.top(found, count, manifest.labels, threshold, allow)
    }

    private fun of(kind: String): FloatArray? {
        val index = manifest.outputs.indexOfFirst { it.kind == kind }
        return if (index < 0) null else values[index]
    }
}
