package io.github.mnv4

import io.github.mnv4.core.Mnv4Exception
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.util.concurrent.CompletableFuture

/** ExecuTorch's own library has one pool of threads for all programs of a process. */
class ThreadsTest {
    private val bundle = Fixtures.bundle("conv-small-035-96x96-fp32-executorch")
    private val pixels = ByteArray(96 * 96 * 3) { (it % 251).toByte() }

    // Where a run and a load wait for each other, they do so for ever.
    @Test(timeout = 120_000)
    fun `another number of threads is refused while a network is open, which goes on running`() {
        MobileNetV4.open(Fixtures.context, bundle, Options(threads = 4)).use { first ->
            val expected = first.runPixels(pixels).probabilities
            val error =
                assertThrows(
                    Mnv4Exception.Unsupported::class.java,
                ) { MobileNetV4.open(Fixtures.context, bundle, Options(threads = 2)) }
            assertTrue(error.message, error.message!!.startsWith(first.manifest.id))
            assertTrue(error.message, "2 threads" in error.message!! && "Options(threads = 4)" in error.message!!)
            // Others with the same number come and go meanwhile.
            val others =
                CompletableFuture.runAsync {
                    repeat(OTHERS) {
                        MobileNetV4.open(Fixtures.context, bundle, Options(threads = 4)).use { other ->
                            assertArrayEquals(expected, other.runPixels(pixels).probabilities, 0f)
                        }
                    }
                }
            while (!others.isDone) assertArrayEquals(expected, first.runPixels(pixels).probabilities, 0f)
            others.get()
        }
        MobileNetV4.open(Fixtures.context, bundle, Options(threads = 2)).use { it.runPixels(pixels) }
    }

    private companion object {
        const val OTHERS = 300
    }
}
