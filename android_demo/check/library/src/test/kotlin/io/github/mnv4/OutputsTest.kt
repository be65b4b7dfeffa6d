package io.github.mnv4

import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.PreprocessSpec
import io.github.mnv4.core.TensorSpec
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class OutputsTest {
    private val times = Outputs.Times(0.0, 0.0)
    private val embedding = floatArrayOf(5f, 6f)
    private val stage = FloatArray(8) { it.toFloat() }
    private val logits = floatArrayOf(0f, 2f, 1f)

    private val classes = TensorSpec("scores", "logits", listOf(1, 3), "float32", null)
    private val pooled = TensorSpec("embedding", "embedding", listOf(1, 2), "float32", null)
    private val map = TensorSpec("stage_3", "stage_3", listOf(1, 2, 2, 2), "float32", "nhwc")

    private fun manifest(
        outputs: List<TensorSpec>,
        labels: List<String>? = null,
    ) = ModelManifest(
        id = "m",
        modelName = "m",
        licence = null,
        target = "tflite",
        recipe = "fp32",
        artifactPath = "m.tflite",
        artifactBytes = 1,
        artifactSha256 = "0".repeat(64),
        input = TensorSpec("image", "image", listOf(1, 2, 2, 3), "float32", "nhwc"),
        outputs = outputs,
        preprocess = PreprocessSpec(2, 2, 1.0, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f)),
        labels = labels,
        golden = emptyList(),
        requires = emptyMap(),
    )

    private fun unsupported(block: () -> Unit): String =
        assertThrows(Mnv4Exception.Unsupported::class.java) { block() }.message!!

    @Test
    fun `every output by its name, in the manifest's order`() {
        val found = Outputs(manifest(listOf(pooled, classes, map)), listOf(embedding, logits, stage), times)
        assertSame(embedding, found["embedding"])
        assertSame(logits, found["scores"])
        assertEquals(listOf("embedding", "scores", "stage_3"), found.byName.keys.toList())
        assertSame(stage, found.byName["stage_3"])
        assertEquals(
            "m: has no output 'logits', only [embedding, scores, stage_3]",
            unsupported { found["logits"] },
        )
    }

    @Test
    fun `outputs of each kind`() {
        val found = Outputs(manifest(listOf(pooled, classes, map)), listOf(embedding, logits, stage), times)
        assertSame(embedding, found.embedding)
        assertArrayEquals(floatArrayOf(0.0900306f, 0.6652409f, 0.2447285f), found.probabilities, 1e-6f)
        val only = found.featureMaps.single()
        assertEquals(listOf("stage_3", listOf(1, 2, 2, 2), "nhwc"), listOf(only.kind, only.shape, only.layout))
        assertSame(stage, only.values)
    }

    @Test
    fun `what a bundle does not output`() {
        val found = Outputs(manifest(listOf(map)), listOf(stage), times)
        assertNull(found.probabilities)
        assertNull(found.embedding)
        assertEquals("m: has no classes, only stage_3", unsupported { found.top(1) })
    }

    @Test
    fun `the most probable classes above a threshold, among labels`() {
        val found = Outputs(manifest(listOf(classes), listOf("cat", "dog", "fox")), listOf(logits), times)
        assertEquals(listOf("dog", "fox", "cat"), found.top(5).map { it.label })
        assertEquals(listOf("dog", "fox"), found.top(5, threshold = 0.2f).map { it.label })
        // The share among all classes, not among those that are allowed.
        val cat = found.top(5, allow = setOf("cat")).single()
        assertEquals("cat", cat.label)
        assertEquals(0.0900306f, cat.probability, 1e-6f)
        assertEquals(
            "allow: found [Cat, wolf], which are no classes of m",
            unsupported { found.top(5, allow = setOf("Cat", "dog", "wolf")) },
        )
        val percent = assertThrows(IllegalArgumentException::class.java) { found.top(5, threshold = 50f) }
        assertEquals("threshold: found 50.0, must be from 0 to 1", percent.message)
        assertThrows(IllegalArgumentException::class.java) { found.top(5, threshold = Float.NaN) }
    }

    @Test
    fun `classes without labels are called by their index`() {
        val found = Outputs(manifest(listOf(classes)), listOf(logits), times)
        assertEquals(listOf("1", "2", "0"), found.top(5).map { it.label })
        assertEquals(listOf(2), found.top(5, allow = setOf("2")).map { it.index })
        assertTrue("found [3]" in unsupported { found.top(5, allow = setOf("3")) })
    }
}
