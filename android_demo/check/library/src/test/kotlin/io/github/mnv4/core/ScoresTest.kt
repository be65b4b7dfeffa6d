package io.github.mnv4.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class ScoresTest {
    @Test
    fun `the most probable first, of equal ones the first`() {
        val scores = floatArrayOf(0.1f, 0.3f, 0.05f, 0.3f, 0.25f)
        assertEquals(listOf(1, 3, 4, 0, 2), Scores.top(scores, 5, null).map { it.index })
        assertEquals(listOf(1, 3), Scores.top(scores, 2, null).map { it.index })
        assertEquals(5, Scores.top(scores, 9, null).size)
        assertEquals(0, Scores.top(scores, 0, null).size)
    }

    @Test
    fun `as sorting has it`() {
        val random = java.util.Random(0)
        repeat(50) {
            val scores = FloatArray(1 + random.nextInt(40)) { random.nextInt(8) / 8f }
            val count = random.nextInt(10)
            val wanted = scores.indices.sortedByDescending { scores[it] }.take(count)
            assertEquals(wanted, Scores.top(scores, count, null).map { it.index })
        }
    }

    @Test
    fun `only classes of a label and a probability that are asked for`() {
        val scores = floatArrayOf(0.1f, 0.3f, 0.05f, 0.3f, 0.25f)

        fun top(
            threshold: Float,
            allow: Set<String>?,
        ) = Scores.top(scores, 3, null, threshold, allow).map { it.index }
        assertEquals(listOf(1, 3, 4), top(0f, null))
        assertEquals(listOf(1, 3), top(0.3f, null))
        assertEquals(listOf(4, 0, 2), top(0f, setOf("0", "2", "4")))
        assertEquals(listOf(4), top(0.2f, setOf("0", "2", "4")))
        assertEquals(emptyList<Int>(), top(0f, emptySet()))
        // Networks may know two classes of the same name.
        val twice = listOf("crane", "crane", "b", "c", "d")
        assertEquals(listOf(1, 0), Scores.top(scores, 3, twice, 0f, setOf("crane")).map { it.index })
    }

    @Test
    fun `softmax of large logits`() {
        val found = Scores.softmax(floatArrayOf(1000f, 999f, -1000f))
        assertEquals(0.7310586f, found[0], 1e-6f)
        assertEquals(1f, found.sum(), 1e-6f)
    }

    @Test
    fun `ratios in dB`() {
        assertEquals(20.0, Scores.sqnrDb(floatArrayOf(1f), floatArrayOf(0.9f)), 1e-4)
        assertEquals(200.0, Scores.sqnrDb(floatArrayOf(1f), floatArrayOf(1f)), 0.0)
        assertTrue(Scores.sqnrDb(floatArrayOf(1f), floatArrayOf(Float.NaN)) == -200.0)
    }
}
