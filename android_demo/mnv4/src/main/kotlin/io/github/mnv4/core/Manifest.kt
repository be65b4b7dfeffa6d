package io.github.mnv4.core

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** An input or output of an artifact. */
public class TensorSpec(
    /** As the artifact calls it. */
    public val name: String,
    /** `image` for the input; `logits`, `probabilities`, `embedding` or `stage_N` for an output. */
    public val kind: String,
    public val shape: List<Int>,
    /** `float32`, `uint8`, ... */
    public val dtype: String,
    /** `nchw` or `nhwc` of tensors with four dimensions. */
    public val layout: String?,
) {
    /** Number of its elements. */
    public val size: Int get() = shape.fold(1, Int::times)

    /**
     * Its length in bytes.
     *
     * @throws Mnv4Exception.BadBundle a type that this version does not know.
     */
    public val bytes: Int get() = size * bytesOf(dtype)
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
    public val path: String,
    /** `pixels`, or the name of an output. */
    public val tensor: String,
    public val shape: List<Int>,
    public val dtype: String,
    /** `input`, `eager` (the float model) or `artifact`. */
    public val source: String,
    /** What a device must reach, for outputs. */
    public val minSqnrDb: Double?,
)

/** manifest.json of a bundle; the generator's JSON Schema is the norm. */
public class Manifest(
    public val id: String,
    public val modelName: String,
    /** Of the weights, where the generator knows it. */
    public val licence: String?,
    /** The runtime: `tflite` or `executorch`. */
    public val target: String,
    public val recipe: String,
    public val artifactPath: String,
    public val artifactBytes: Long,
    public val artifactSha256: String,
    public val input: TensorSpec,
    public val outputs: List<TensorSpec>,
    public val preprocess: PreprocessSpec,
    /** Of the classes, in their order; null where they have no names. */
    public val labels: List<String>?,
    public val golden: List<GoldenSpec>,
) {
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
            if (inputs.size !=
                1
            ) {
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
