package io.github.mnv4.core

// Checks a manifest's values against each other, when each of them is valid on its own.

private val CLASSES = listOf("logits", "probabilities")
private const val IMAGE_AXES = 4
private const val IMAGE_CHANNELS = 3
private const val CLASS_AXES = 2

private fun refuse(message: String): Nothing = throw JsonException(message)

internal fun ModelManifest.checkInput() {
    val (height, width) = preprocess.height to preprocess.width
    val wanted = if (input.layout == "nchw") listOf(3, height, width) else listOf(height, width, 3)
    if (input.kind != "image") refuse("inputs[0].kind: found '${input.kind}', must be image")
    if (input.layout == null) refuse("inputs[0].layout: found null, must be nchw or nhwc")
    if (input.shape.drop(1) != wanted) {
        refuse(
            "inputs[0].shape: found ${input.shape}, must be the number of images, and $wanted as in preprocess",
        )
    }
}

/** @param parity names of outputs by the place of their unit. */
internal fun ModelManifest.checkOutputs(parity: Map<String, Set<String>>) {
    val names = HashSet<String>()
    outputs.forEachIndexed { i, output ->
        if (!names.add(output.name)) refuse("outputs[$i].name: found '${output.name}' twice")
        if (output.kind == "image") refuse("outputs[$i].kind: found 'image', which is for the input")
        val axes = output.shape.size
        val classes = output.kind in CLASSES
        if (output.shape[0] != input.shape[0] || (classes && axes != CLASS_AXES)) {
            val wanted = "a batch of ${input.shape[0]}" + if (classes) ", and the number of classes" else ""
            refuse("outputs[$i].shape: found ${output.shape}, must be $wanted")
        }
        if ((output.layout != null) != (axes == IMAGE_AXES)) {
            refuse(
                "outputs[$i].layout: found ${output.layout}, must be the order of four axes, " +
                    "or null for another number of axes",
            )
        }
        if (labels != null && classes && labels.size != output.shape[1]) {
            refuse("labels: found ${labels.size}, must be ${output.shape[1]}, one for each class")
        }
    }
    for ((place, found) in parity) {
        val strange = found.firstOrNull { it !in names } ?: continue
        refuse("$place: found '$strange', which is no output")
    }
}

/** @param parity for each further size, names of outputs by the place of their unit. */
internal fun ModelManifest.checkSizes(parity: List<Map<String, Set<String>>>) {
    val found = hashSetOf(inputSize)
    moreSizes.forEachIndexed { i, entry ->
        val place = "more_sizes[$i]"
        val (height, width) = entry.size
        val sides = listOf(height, width)
        if (!found.add(entry.size)) refuse("$place.size: found $sides twice")
        val bytes = IMAGE_CHANNELS * bytesOf(input.dtype).toLong() * input.shape[0] * height * width
        if (bytes > Int.MAX_VALUE) refuse("$place.size: found $sides, an input has at most ${Int.MAX_VALUE} bytes")
        try {
            val alone = alone(entry)
            alone.checkOutputs(parity[i])
            alone.checkGolden()
        } catch (error: JsonException) {
            refuse("$place.${error.message}")
        }
    }
}

/** Checks that every output has a golden tensor, for the same images. */
internal fun ModelManifest.checkGolden() {
    val shapes = outputs.associate { it.name to it.shape.drop(1) }
    val pixels = golden.firstOrNull { it.source == "input" && it.tensor == "pixels" }
    val eager = golden.filter { it.source == "eager" }.map { it.tensor }.toSet()
    if (pixels == null || !eager.containsAll(shapes.keys)) {
        refuse("golden: needs the pixels of the input, and an eager tensor for every output")
    }
    val images = pixels.shape[0]
    val sides = listOf(preprocess.height, preprocess.width, 3)
    val found = HashSet<Pair<String, String>>()
    golden.forEachIndexed { i, entry ->
        val allowed = if (entry.source == "input") mapOf("pixels" to sides) else shapes
        val wanted = allowed[entry.tensor]
        if (wanted == null) refuse("golden[$i].tensor: found '${entry.tensor}', must be one of ${allowed.keys}")
        if (!found.add(entry.source to entry.tensor)) refuse("golden[$i].tensor: found '${entry.tensor}' twice")
        if (entry.shape != listOf(images) + wanted || images % input.shape[0] != 0) {
            refuse(
                "golden[$i].shape: found ${entry.shape}, must be a multiple of ${input.shape[0]} images, " +
                    "the same for all, of $wanted",
            )
        }
        val dtype = mapOf("input" to "uint8", "eager" to "float32")[entry.source]
        if (dtype != null && entry.dtype != dtype) {
            refuse("golden[$i].dtype: found ${entry.dtype}, must be $dtype")
        }
        if (entry.source == "eager" && entry.minSqnrDb == null) {
            refuse("golden[$i].min_sqnr_db: found null, must be a number")
        }
    }
}
