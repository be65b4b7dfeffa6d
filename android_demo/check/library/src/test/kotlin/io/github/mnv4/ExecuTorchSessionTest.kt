package io.github.mnv4

import io.github.mnv4.core.Mnv4Exception
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pytorch.executorch.Module

/** Uses a stand-in for ExecuTorch: org.pytorch.executorch.Module, beside this file. */
class ExecuTorchSessionTest {
    private val bundle = Fixtures.bundle("conv-small-035-96x96-fp32-executorch")

    @Test
    fun `pixels go in normalised, outputs come out by kind`() {
        MobileNetV4.open(bundle, threads = 3).use { model ->
            val pixels = ByteArray(96 * 96 * 3) { (it % 251).toByte() }
            val outputs = model.runPixels(pixels)
            val spec = model.manifest.preprocess
            val first = (0f / 255f - spec.mean[0]) / spec.std[0]
            assertEquals(first, Module.last!![0], 0f)
            assertEquals(96 * 96 * 3, Module.last!!.size)
            assertEquals(1.0f, outputs.probabilities!!.sum(), 1e-5f)
            assertEquals(3, Module.loaded!!.threads)
            assertEquals("conv-small-035-96x96-fp32.pte", Module.loaded!!.path.substringAfterLast('/'))
        }
    }

    @Test
    fun `the next call sees the next picture`() {
        MobileNetV4.open(bundle).use { model ->
            model.runPixels(ByteArray(96 * 96 * 3))
            val black = Module.last!!.copyOf()
            model.runPixels(ByteArray(96 * 96 * 3) { -1 })
            assertTrue(Module.last!!.indices.all { Module.last!![it] > black[it] })
        }
    }

    @Test
    fun `a failure names the bundle, and closing happens once`() {
        val before = Module.closed
        val model = MobileNetV4.open(bundle)
        Module.failure = "out of memory"
        try {
            val error =
                assertThrows(Mnv4Exception.RuntimeFailed::class.java) { model.runPixels(ByteArray(96 * 96 * 3)) }
            assertTrue(error.message, "conv-small-035" in error.message!! && "out of memory" in error.message!!)
        } finally {
            Module.failure = null
        }
        model.close()
        model.close()
        assertEquals(before + 1, Module.closed)
        assertThrows(IllegalStateException::class.java) { model.runPixels(ByteArray(96 * 96 * 3)) }
    }

    @Test
    fun `outputs are the caller's`() {
        MobileNetV4.open(bundle).use { model ->
            val first = model.runPixels(ByteArray(96 * 96 * 3)).probabilities!!.copyOf()
            val kept = model.runPixels(ByteArray(96 * 96 * 3))
            model.runPixels(ByteArray(96 * 96 * 3) { (it % 7 * 30).toByte() })
            assertArrayEquals(first, kept.probabilities, 0f)
        }
    }
}
