package io.github.mnv4.executorch

import android.content.ContextWrapper
import io.github.mnv4.MobileNetV4
import io.github.mnv4.Options
import io.github.mnv4.core.Mnv4Exception
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pytorch.executorch.Module
import java.io.File

/** What goes wrong in ExecuTorch. */
class ExecuTorchSessionTest {
    private val bundle = File(System.getProperty("mnv4.fixtures")!!, "bundles/conv-small-035-96x96-fp32-executorch")
    private val image = ByteArray(96 * 96 * 3)

    @After
    fun reset() {
        Module.failure = null
    }

    private fun assertFails(block: () -> Unit) {
        Module.failure = "out of memory"
        val message = assertThrows(Mnv4Exception.RuntimeFailed::class.java) { block() }.message!!
        assertTrue(message, "conv-small-035" in message && "out of memory" in message)
    }

    @Test
    fun `a program that cannot be loaded`() {
        assertFails { MobileNetV4.open(ContextWrapper(null), bundle) }
        assertEquals(0, Module.open)
    }

    @Test
    fun `a program whose first run fails is closed again`() {
        Module.runs = false
        try {
            assertThrows(Mnv4Exception.RuntimeFailed::class.java) { MobileNetV4.open(ContextWrapper(null), bundle) }
            MobileNetV4.open(ContextWrapper(null), bundle, Options(warmUp = false)).close() // which does not run it
        } finally {
            Module.runs = true
        }
        assertEquals(0, Module.open)
        // None is open, so the number may change.
        MobileNetV4.open(ContextWrapper(null), bundle, Options(threads = 7)).close()
    }

    @Test
    fun `a call that fails, and the next one runs`() {
        MobileNetV4.open(ContextWrapper(null), bundle).use { model ->
            assertFails { model.runPixels(image) }
            Module.failure = null
            assertEquals(10, model.runPixels(image).probabilities!!.size)
        }
    }

    @Test
    fun `closing happens once, and ends the calls`() {
        val model = MobileNetV4.open(ContextWrapper(null), bundle)
        assertEquals(1, Module.open)
        model.close()
        model.close()
        assertEquals(0, Module.open)
        assertThrows(IllegalStateException::class.java) { model.runPixels(image) }
    }
}
