package io.github.mnv4.core

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import java.nio.ByteBuffer

/** Where integers stand for floats: `(integer - zeroPoint) * scale`. */
public class Quantization(
    /** Of one step. */
    public val scale: Float,
    /** The integer that stands for 0. */
    public val zeroPoint: Int,
)

/** An input or output of an artifact. */
public class TensorSpec(
    /** As the artifact calls it. */
    public val name: String,
    /** `image` for the input; `logits`, `probabilities`, `embedding` or `stage_N` for an output. */
    public val kind: String,
    /** The length of each dimension. */
    public val shape: List<Int>,
    /** `float32`, `float16`, `int8` or `uint8`. */
    public val dtype: String,
    /** `nchw` or `nhwc` of tensors with four dimensions. */
    public val layout: String?,
    /** Of integers; an input of uint8 without it takes RGB bytes. */
    public val quantization: Quantization? = null,
) {
    /** Number of its elements. */
    public val size: Int get() = shape.fold(1, Int::times)

    /**
     * Its length in bytes.
     *
     * @throws Mnv4Exception.BadBundle a type that this version does not know.
     */
    public val bytes: Int get() = size * bytesOf(dtype)

    /** The values of a tensor that lies at the start of [buffer], as floats. */
    internal fun floats(buffer: ByteBuffer): FloatArray {
        buffer.rewind()
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

/** How a decoded picture becomes the input. */
public class PreprocessSpec(
    /** Of the input. */
    public val height: Int,
    /** Of the input. */
    public val width: Int,
    /** Share of the resized picture that the centre crop keeps. */
    public val crop: Double,
    /** `nearest`, `bilinear`, `bicubic` or `lanczos`. */
    public val interpolation: String,
    /** Of red, green and blue in 0..1. */
    public val mean: List<Float>,
    /** Of red, green and blue in 0..1. */
    public val std: List<Float>,
)

/** One golden tensor: what a device checks itself with. */
public class GoldenSpec(
    /** Of its file in the bundle. */
    public val path: String,
    /** `pixels`, or the name of an output. */
    public val tensor: String,
    /** Of all pictures together. */
    public val shape: List<Int>,
    /** As an artifact's. */
    public val dtype: String,
    /** `input`, `eager` (the float model) or `artifact`. */
    public val source: String,
    /** What a device must reach, for outputs. */
    public val minSqnrDb: Double?,
)

/** manifest.json of a bundle; the generator's JSON Schema is the norm. */
public class Manifest(
    /** The bundle's name. */
    public val id: String,
    /** Of the network: `conv-small`. */
    public val modelName: String,
    /** Of the weights, where the generator knows it. */
    public val licence: String?,
    /** The runtime: `tflite` or `executorch`. */
    public val target: String,
    /** Of its precision: `fp32`, `int8`. */
    public val recipe: String,
    /** Of the artifact's file in the bundle. */
    public val artifactPath: String,
    /** Its length. */
    public val artifactBytes: Long,
    /** Of its bytes, in hexadecimal. */
    public val artifactSha256: String,
    /** What the artifact takes. */
    public val input: TensorSpec,
    /** What it gives, in its order. */
    public val outputs: List<TensorSpec>,
    /** How pictures become its input. */
    public val preprocess: PreprocessSpec,
    /** Of the classes, in their order; null where they have no names. */
    public val labels: List<String>?,
    /** Pictures, and what they must give. */
    public val golden: List<GoldenSpec>,
) {
    init {
        val classes = outputs.firstOrNull { it.kind == "logits" || it.kind == "probabilities" }
        if (labels != null && classes != null && labels.size != classes.size) {
            throw Mnv4Exception.BadBundle(
                "manifest.json: labels: found ${labels.size}, must be ${classes.size}, one for each class",
            )
        }
    }

    /** Reading of manifests. */
    public companion object {
        /** The newest schema that this version reads. */
        public const val SCHEMA: Int = 1

        /**
         * Reads a manifest.
         *
         * @throws Mnv4Exception.BadBundle it is no manifest, or one of a newer version.
         */
        public fun parse(text: String): Manifest =
            try {
                val json = JSONObject(text)
                val schema = json.getInt("schema")
                if (schema > SCHEMA) {
                    throw Mnv4Exception.BadBundle(
                        "manifest.json: written by a newer version (schema $schema, this one reads $SCHEMA); " +
                            "update the mnv4 library",
                    )
                }
                manifest(json)
            } catch (error: JSONException) {
                throw Mnv4Exception.BadBundle("manifest.json: ${error.message}", error)
            }

        private fun manifest(json: JSONObject): Manifest {
            val model = json.getJSONObject("model")
            val artifact = json.getJSONObject("artifact")
            val preprocess = json.getJSONObject("preprocess")
            val size = preprocess.getJSONArray("size")
            val inputs = json.getJSONArray("inputs").objects()
            if (inputs.size != 1) {
                throw Mnv4Exception.BadBundle("manifest.json: inputs: found ${inputs.size}, must be 1")
            }
            return Manifest(
                id = json.getString("id"),
                modelName = model.getString("name"),
                licence = model.textOrNull("licence"),
                target = json.getString("target"),
                recipe = json.getString("recipe"),
                artifactPath = inside(artifact.getString("path")),
                artifactBytes = artifact.getLong("bytes"),
                artifactSha256 = artifact.getString("sha256"),
                input = tensor(inputs.single()),
                outputs = json.getJSONArray("outputs").objects().map(::tensor),
                preprocess =
                    PreprocessSpec(
                        height = size.getInt(0),
                        width = size.getInt(1),
                        crop = preprocess.getDouble("crop"),
                        interpolation = preprocess.getString("interpolation"),
                        mean = preprocess.getJSONArray("mean").floats(),
                        std = preprocess.getJSONArray("std").floats(),
                    ),
                labels = if (json.isNull("labels")) null else json.getJSONArray("labels").texts(),
                golden = json.getJSONArray("golden").objects().map(::golden),
            )
        }

        private fun tensor(json: JSONObject): TensorSpec =
            TensorSpec(
                name = json.getString("name"),
                kind = json.getString("kind"),
                shape = json.getJSONArray("shape").integers(),
                dtype = json.getString("dtype"),
                layout = json.textOrNull("layout"),
                quantization =
                    json.optJSONObject("quantization")?.let {
                        Quantization(it.getDouble("scale").toFloat(), it.getInt("zero_point"))
                    },
            )

        private fun golden(json: JSONObject): GoldenSpec =
            GoldenSpec(
                path = inside(json.getString("path")),
                tensor = json.getString("tensor"),
                shape = json.getJSONArray("shape").integers(),
                dtype = json.getString("dtype"),
                source = json.getString("source"),
                minSqnrDb = if (json.isNull("min_sqnr_db")) null else json.getDouble("min_sqnr_db"),
            )

        /** A path of a manifest, which must not leave the bundle. */
        private fun inside(path: String): String {
            if (path.isEmpty() || path.startsWith("/") || '\\' in path || ".." in path.split("/")) {
                throw Mnv4Exception.BadBundle("manifest.json: path: found '$path', must stay in the bundle")
            }
            return path
        }
    }
}

internal fun JSONObject.textOrNull(key: String): String? = if (isNull(key)) null else getString(key)

internal fun JSONArray.objects(): List<JSONObject> = List(length(), ::getJSONObject)

internal fun JSONArray.texts(): List<String> = List(length(), ::getString)

internal fun JSONArray.integers(): List<Int> = List(length(), ::getInt)

internal fun JSONArray.floats(): List<Float> = List(length()) { getDouble(it).toFloat() }
