package io.github.mnv4.core

import java.nio.ByteBuffer

/** An input size in pixels. It is written as `mnv4 build` takes it: `64x128` is 64 high and 128 wide. */
public data class InputSize(
    /** The height of the input. */
    public val height: Int,
    /** The width of the input. */
    public val width: Int,
) {
    override fun toString(): String = "${height}x$width"
}

/** How integers stand for floats: `(integer - zeroPoint) * scale`. */
public class Quantization(
    /** The step between two neighbouring integers. */
    public val scale: Float,
    /** The integer that stands for 0. */
    public val zeroPoint: Int,
)

/** An input or output of an artifact. */
public class TensorSpec(
    /** The name by which the artifact knows the tensor. */
    public val name: String,
    /**
     * `image` for the input; `logits`, `probabilities`, `embedding`, `stage_N`, or the name that a
     * head of one's own gives to an output.
     */
    public val kind: String,
    /** The length of each dimension. */
    public val shape: List<Int>,
    /** `float32`, `float16`, `int8` or `uint8`. */
    public val dtype: String,
    /** `nchw` or `nhwc` for a tensor with four dimensions, else null. */
    public val layout: String?,
    /** How integers stand for floats; an input of uint8 without it takes RGB bytes. */
    public val quantization: Quantization? = null,
) {
    /** The number of elements. */
    public val size: Int get() = shape.fold(1, Int::times)

    /**
     * The length in bytes.
     *
     * @throws Mnv4Exception.BadBundle if this version does not know the type.
     */
    public val bytes: Int get() = size * bytesOf(dtype)

    /** Returns the tensor with other sides; it has four axes. */
    internal fun withSides(size: InputSize): TensorSpec {
        val sides = listOf(size.height, size.width)
        val resized = if (layout == "nchw") shape.take(2) + sides else listOf(shape[0]) + sides + shape[3]
        return TensorSpec(name, kind, resized, dtype, layout, quantization)
    }

    /** Returns the tensor with the sides of another shape, if it is a feature map. */
    internal fun withSidesOf(other: List<Int>): TensorSpec {
        if (layout == null || other.size != shape.size) return this
        val (height, width) = if (layout == "nchw") other.takeLast(2) else other.drop(1)
        return withSides(InputSize(height, width))
    }

    /** Returns, as floats, the values of a tensor at the start of [buffer]. */
    @Mnv4Internal
    public fun floats(buffer: ByteBuffer): FloatArray {
        buffer.moveTo(0)
        val found = FloatArray(size)
        if (quantization == null) {
            buffer.asFloatBuffer().get(found)
        } else {
            val mask = if (dtype == "uint8") 0xff else -1
            for (i in found.indices) {
                found[i] = ((buffer.get(i).toInt() and mask) - quantization.zeroPoint) * quantization.scale
            }
        }
        return found
    }
}

internal fun bytesOf(dtype: String): Int =
    when (dtype) {
        "float32" -> 4
        "float16" -> 2
        "uint8", "int8" -> 1
        else -> throw Mnv4Exception.BadBundle(
            "manifest.json: dtype: found '$dtype', allowed: float32, float16, uint8, int8",
        )
    }

/** How a decoded image becomes the input. */
public class PreprocessSpec(
    /** The height of the input. */
    public val height: Int,
    /** The width of the input. */
    public val width: Int,
    /** The share of the resized image that the centre crop keeps. */
    public val crop: Double,
    /** The filter of the resizing: `nearest`, `bilinear`, `bicubic` or `lanczos`. */
    public val interpolation: String,
    /** The mean of red, green and blue, from 0 to 1. */
    public val mean: List<Float>,
    /** The standard deviation of red, green and blue, from 0 to 1. */
    public val std: List<Float>,
) {
    internal fun withSides(size: InputSize) = PreprocessSpec(size.height, size.width, crop, interpolation, mean, std)
}

/** A golden tensor, with which a device checks itself. */
public class GoldenSpec(
    /** The path of the file in the bundle. */
    public val path: String,
    /** `pixels`, or the name of an output. */
    public val tensor: String,
    /** The shape, whose first axis counts images. */
    public val shape: List<Int>,
    /** The type of the elements. */
    public val dtype: String,
    /** The SHA-256 of the file, in hexadecimal. */
    public val sha256: String,
    /** Where it comes from: `input`, `eager` (the float model) or `artifact`. */
    public val source: String,
    /** The least SQNR in dB that a device must reach; null for inputs. */
    public val minSqnrDb: Double?,
)

/** A further input size that an artifact takes. */
public class SizeSpec(
    /** The size. */
    public val size: InputSize,
    /** Images of this size, and the outputs that they must give. */
    public val golden: List<GoldenSpec>,
)

/** The manifest.json of a bundle; the generator's docs/reference/bundle.md specifies it. */
public class ModelManifest(
    /** The bundle's name. */
    public val id: String,
    /** The name of the network, as in `conv-small`. */
    public val modelName: String,
    /** The licence of the weights; null if the generator does not know it. */
    public val licence: String?,
    /** The runtime: `tflite` or `executorch`. */
    public val target: String,
    /** The name of the precision, as in `fp32` or `int8`. */
    public val recipe: String,
    /** The path of the artifact in the bundle. */
    public val artifactPath: String,
    /** The artifact's length in bytes. */
    public val artifactBytes: Long,
    /** The SHA-256 of the artifact's bytes, in hexadecimal. */
    public val artifactSha256: String,
    /** The artifact's input. */
    public val input: TensorSpec,
    /** The artifact's outputs, in its order. */
    public val outputs: List<TensorSpec>,
    /** How an image becomes the input. */
    public val preprocess: PreprocessSpec,
    /** The names of the classes, in their order; null if they have none. */
    public val labels: List<String>?,
    /** Images, and the outputs that they must give. */
    public val golden: List<GoldenSpec>,
    /** The requirements on a device, by `<target>.<key>`. */
    public val requires: Map<String, String>,
    /** Further input sizes that the artifact takes; empty in the manifest of a network opened at one of them. */
    public val moreSizes: List<SizeSpec> = emptyList(),
    /** All input sizes that the artifact takes. The first is the default, which it has until a runtime resizes it. */
    public val inputSizes: List<InputSize> =
        listOf(InputSize(preprocess.height, preprocess.width)) + moreSizes.map { it.size },
) {
    /** The input size that everything else in the manifest is for. */
    public val inputSize: InputSize get() = InputSize(preprocess.height, preprocess.width)

    /** Whether that is not the default, so that a runtime has to resize the artifact. */
    @Mnv4Internal
    public val resized: Boolean get() = inputSize != inputSizes.first()

    /**
     * Returns the manifest of the same artifact at one of its input sizes, by default at its own.
     *
     * @throws Mnv4Exception.Unsupported if the artifact does not take the size.
     */
    internal fun at(size: InputSize?): ModelManifest {
        if (size == null || size == inputSize) return this
        val found = moreSizes.firstOrNull { it.size == size }
        return alone(
            found ?: throw Mnv4Exception.Unsupported(
                "$id: Options.inputSize: found $size, the bundle takes: ${inputSizes.joinToString()}",
            ),
        )
    }

    /** Returns the manifest of the same artifact with this input size alone. */
    internal fun alone(size: SizeSpec): ModelManifest {
        val eager = size.golden.filter { it.source == "eager" }.associate { it.tensor to it.shape }
        return ModelManifest(
            id = id,
            modelName = modelName,
            licence = licence,
            target = target,
            recipe = recipe,
            artifactPath = artifactPath,
            artifactBytes = artifactBytes,
            artifactSha256 = artifactSha256,
            input = input.withSides(size.size),
            outputs = outputs.map { output -> eager[output.name]?.let { output.withSidesOf(it) } ?: output },
            preprocess = preprocess.withSides(size.size),
            labels = labels,
            golden = size.golden,
            requires = requires,
            inputSizes = inputSizes,
        )
    }

    /** Reads manifests. */
    public companion object {
        /** The newest schema that this version reads. */
        public const val SCHEMA: Int = 1

        /**
         * Reads a manifest.
         *
         * @param name the file's name in messages.
         * @throws Mnv4Exception.BadBundle if it is not a manifest, or one of a newer version.
         */
        public fun parse(
            text: String,
            name: String = "manifest.json",
        ): ModelManifest = Json.record(text, { Mnv4Exception.BadBundle("$name: $it") }) { manifest() }
    }
}

/** A bundle's id, which is also the name of its folder. */
@Mnv4Internal
public val BUNDLE_ID: Regex = Regex("[A-Za-z0-9][A-Za-z0-9._-]*")

/** A tensor's kind. */
private val KIND = Regex("[a-z][a-z0-9_]*")

/** A line of text, as labels are. */
private val LABEL = Regex("[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]+")
private const val MOST_DECIBELS = 200.0
private const val SMALLEST = 1.1754943508222875e-38
private const val LARGEST = Float.MAX_VALUE.toDouble()
private const val MOST_SIDE = 1L shl 14
private const val MOST_BYTES = Int.MAX_VALUE.toLong()
private val SHA256 = Regex("[0-9a-f]{64}")
private val PATH = Regex("[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
private val REQUIREMENT = Regex("[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+")
private val DTYPES = listOf("float32", "float16", "int8", "uint8")
private val LAYOUTS = listOf("nchw", "nhwc")
private val INTERPOLATIONS = listOf("nearest", "bilinear", "bicubic", "lanczos")
private val ASSUMABLE = listOf("mean", "std", "crop", "interpolation")
private val SOURCES = listOf("input", "eager", "artifact")
private val UNITS = setOf("cpu", "gpu", "npu")
private val KINDS = listOf("convolution", "other")
private val OBJECTIVES = listOf("size", "latency")

private fun Json.Entries.manifest(): ModelManifest {
    schema(ModelManifest.SCHEMA)
    get("ingredients").map().values.forEach { it.text(SHA256) }
    get("options").map().values.forEach { it.checkOption() }
    val parity = parity()
    get("layers").list().forEach { it.record { layer() } }
    optional("calibration")?.orNull { record { calibration() } }
    optional("float16_range")?.orNull { record { float16Range() } }
    optional("tuning")?.orNull { record { tuning() } }
    get("versions").map().values.forEach { it.text() }
    val preprocess = get("preprocess").record { preprocess() }
    val outputs = get("outputs").list(least = 1).map { it.record { tensor() } }
    val (modelName, licence) = get("model").record { model() }
    val (path, bytes, sha256) = get("artifact").record { artifact() }
    val sized = optional("more_sizes")?.list().orEmpty().map { it.record { sized() } }
    return ModelManifest(
        id = get("id").text(BUNDLE_ID),
        modelName = modelName,
        licence = licence,
        target = get("target").text(),
        recipe = get("recipe").text(),
        artifactPath = path,
        artifactBytes = bytes,
        artifactSha256 = sha256,
        input = get("inputs").list(least = 1, most = 1).single().record { tensor() },
        outputs = outputs,
        preprocess = preprocess,
        labels = get("labels").orNull { list().map { it.text(LABEL) } },
        golden = get("golden").list(least = 2).map { it.record { golden() } },
        requires = requirements(),
        moreSizes = sized.map { it.first },
    ).also { manifest ->
        manifest.checkInput()
        manifest.checkOutputs(parity)
        manifest.checkGolden()
        manifest.checkSizes(sized.map { it.second })
    }
}

/** Returns an input size, and the names of the outputs by the place of their unit. */
private fun Json.Entries.sized(): Pair<SizeSpec, Map<String, Set<String>>> {
    val (height, width) = get("size").list(2, 2).map { it.side() }
    val golden = get("golden").list(least = 2).map { it.record { golden() } }
    return SizeSpec(InputSize(height, width), golden) to parity()
}

private fun Json.Entries.model(): Pair<String, String?> {
    get("config_sha256").text(SHA256)
    get("weights").text()
    get("weights_sha256").text(SHA256)
    return get("name").text() to get("licence").orNull { text() }
}

private fun Json.Entries.artifact(): Triple<String, Long, String> =
    Triple(get("path").text(PATH), get("bytes").integer(1, MOST_EXACT), get("sha256").text(SHA256))

private fun Json.Entries.tensor(): TensorSpec {
    val spec =
        TensorSpec(
            name = get("name").text(),
            kind = get("kind").text(KIND),
            dtype = get("dtype").oneOf(DTYPES),
            shape = shape(),
            layout = get("layout").orNull { oneOf(LAYOUTS) },
            quantization = optional("quantization")?.orNull { record { quantization() } },
        )
    if (spec.quantization != null && spec.dtype.startsWith("float")) {
        refuse("quantization", "found with ${spec.dtype}, must be with integers only")
    }
    return spec
}

private fun Json.Entries.shape(): List<Int> {
    val sides = get("shape").list(least = 1).map { it.integer() }
    var bytes = bytesOf(get("dtype").oneOf(DTYPES)).toLong()
    for (side in sides) {
        bytes *= side
        if (bytes > MOST_BYTES) refuse("shape", "found $sides, a tensor has at most $MOST_BYTES bytes")
    }
    return sides
}

/** Returns a number that stays positive and finite as a float of 32 bits. */
private fun Json.positive(): Float = number(SMALLEST, LARGEST).toFloat()

private fun Json.Entries.quantization() =
    Quantization(
        scale = get("scale").positive(),
        zeroPoint = get("zero_point").integer(-128, 255).toInt(),
    )

private fun Json.side(): Int = integer(1, MOST_SIDE).toInt()

private fun Json.Entries.preprocess(): PreprocessSpec {
    get("inside").flag()
    get("assumed").list().forEach { it.oneOf(ASSUMABLE) }
    val (height, width) = get("size").list(2, 2).map { it.side() }
    return PreprocessSpec(
        height = height,
        width = width,
        crop = get("crop").number(0.01, 1.0),
        interpolation = get("interpolation").oneOf(INTERPOLATIONS),
        mean = get("mean").list(3, 3).map { it.number(-LARGEST, LARGEST).toFloat() },
        std = get("std").list(3, 3).map { it.positive() },
    )
}

private fun Json.Entries.golden(): GoldenSpec =
    GoldenSpec(
        path = get("path").text(PATH),
        tensor = get("tensor").text(),
        dtype = get("dtype").oneOf(DTYPES),
        shape = shape(),
        sha256 = get("sha256").text(SHA256),
        source = get("source").oneOf(SOURCES),
        minSqnrDb = get("min_sqnr_db").orNull { decibels() },
    )

private fun Json.Entries.requirements(): Map<String, String> =
    get("requires").map().mapValues { (key, value) ->
        if (!REQUIREMENT.matches(key)) refuse("requires", "found the key '$key', must be of the form TARGET.KEY")
        value.text()
    }

private fun Json.decibels(): Double = number(-MOST_DECIBELS, MOST_DECIBELS)

private fun Json.notNegative(): Double = number(0.0, LARGEST)

/** Returns the names of the outputs by the place of their unit. */
private fun Json.Entries.parity(): Map<String, Set<String>> {
    for ((unit, outputs) in get("parity").map()) {
        if (unit !in UNITS) refuse("parity", "found the unit '$unit', must be one of ${UNITS.joinToString()}")
        for (output in outputs.map().values) {
            output.record {
                for (key in listOf("sqnr_db", "sqnr_db_p10", "gate_db")) get(key).decibels()
                get("max_abs").notNegative()
                get("top1_agreement").orNull { number(0.0, 1.0) }
                get("n").integer()
            }
        }
    }
    return get("parity").map().entries.associate { (unit, outputs) -> "parity.$unit" to outputs.map().keys }
}

private fun Json.Entries.layer() {
    for (key in listOf("name", "block", "precision")) get(key).text()
    get("kind").oneOf(KINDS)
    get("why").orNull { text() }
}

private fun Json.Entries.float16Range() {
    get("images").integer()
    get("margin").positive()
    get("layer").text()
}

private fun Json.Entries.tuning() {
    get("objective").oneOf(OBJECTIVES)
    get("max_drop").notNegative()
    get("min_p10").decibels()
    get("max_latency").positive()
    get("images").integer()
    for (tried in get("tried").list(least = 1)) {
        tried.record {
            get("recipe").text()
            get("drop").notNegative()
            get("sqnr_db_p10").decibels()
            get("latency").orNull { positive() }
            get("bytes").integer(1, MOST_EXACT)
        }
    }
}

private fun Json.Entries.calibration() {
    get("images").integer()
    get("held_out").integer(least = 0)
    get("skipped").integer(least = 0)
    get("seed").integer(-MOST_EXACT, MOST_EXACT)
    get("dataset_sha256").orNull { text(SHA256) }
    get("range").orNull { text() }
    get("agreement").orNull {
        record {
            get("top1").number(0.0, 1.0)
            get("gate").number(0.0, 1.0)
            get("n").integer()
        }
    }
}
