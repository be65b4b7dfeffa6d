package io.github.mnv4

import android.app.Application
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.core.PixelSource
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.consumeAsFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.io.IOException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CoroutinesTest {
    private val folder = Fixtures.bundle("conv-small-035-96x96-fp32-tflite")
    private lateinit var network: MobileNetV4
    private lateinit var seven: Bitmap

    @Before
    fun open() {
        network = aside { MobileNetV4.open(Fixtures.context, folder) }
        seven = BitmapFactory.decodeFile(File(Fixtures.folder, "pictures/seven.jpg").path)
    }

    @After
    fun close() = network.close()

    /** An image that cannot be read before [go]. */
    private inner class Slow : PixelSource by Images.of(seven) {
        val begun = CountDownLatch(1)
        val go = CountDownLatch(1)
        override val width: Int
            get() {
                begun.countDown()
                go.await()
                return seven.width
            }
    }

    /** A camera's frame. */
    private inner class Frame(
        val number: Int,
    ) : AutoCloseable {
        override fun close() {
            assertTrue("frame $number is closed twice", closed.add(number))
        }
    }

    private val closed = java.util.Collections.synchronizedSet(sortedSetOf<Int>())

    @Test
    fun `classifies on another thread`() =
        runBlocking {
            assertEquals("7", network.classify(seven).first().label)
            val caller = Thread.currentThread()
            var reader: Thread? = null
            val image =
                object : PixelSource by Images.of(seven) {
                    override val width: Int
                        get() = seven.width.also { reader = Thread.currentThread() }
                }
            val outputs = network.run(image)
            assertTrue(reader !== caller && reader != null)
            assertTrue(outputs.times.preprocess > 0 && outputs.times.network > 0)
        }

    @Test
    fun `cancelling skips what has not begun, and waits until the image is no longer read`() =
        runBlocking {
            val first = Slow()
            val second = Slow()
            val running = launch(Dispatchers.IO) { network.run(first) }
            first.begun.await()
            val waiting = launch(Dispatchers.IO) { network.run(second) }
            running.cancel()
            waiting.cancelAndJoin()
            assertEquals("the second image was read", 1, second.begun.count)
            assertTrue("cancelled while the image was read", !running.isCompleted)
            first.go.countDown()
            withTimeout(10_000) { running.join() }
        }

    @Test
    fun `frames keeps the latest only, and closes every frame once`() =
        runBlocking {
            val slow = Slow()
            val sent = CompletableDeferred<Unit>()
            val camera =
                flow {
                    emit(Frame(0))
                    aside { slow.begun.await() }
                    for (number in 1..9) emit(Frame(number))
                    sent.complete(Unit)
                }
            val read = ArrayList<Int>()
            val results =
                async(Dispatchers.IO) {
                    network
                        .frames(camera) { frame ->
                            read += frame.number
                            if (frame.number == 0) slow else Images.of(seven)
                        }.toList()
                }
            sent.await()
            slow.go.countDown()
            assertEquals(listOf("7", "7"), results.await().map { it.top(1).single().label })
            assertEquals(listOf(0, 9), read)
            assertEquals((0..9).toSet(), closed)
        }

    @Test
    fun `frames closes what it has when nobody collects any more`() =
        runBlocking {
            val camera = Channel<Frame>(Channel.UNLIMITED)
            val emitted = AtomicInteger()
            for (number in 0..2) camera.send(Frame(number))
            network.frames(camera.consumeAsFlow().onEach { emitted.incrementAndGet() }) { Images.of(seven) }.first()
            assertEquals(emitted.get(), closed.size)
        }

    @Test
    fun `a frame that cannot be read ends the flow and is closed`() =
        runBlocking {
            val failure =
                runCatching { network.frames(flow { emit(Frame(0)) }) { throw IOException("no image") }.toList() }
            assertEquals("no image", failure.exceptionOrNull()!!.message)
            assertEquals(setOf(0), closed)
        }

    @Test
    fun `a failing camera ends the flow`() =
        runBlocking {
            val camera = flow<Frame> { error("unplugged") }
            val failure = runCatching { network.frames(camera) { Images.of(seven) }.toList() }
            assertEquals("unplugged", failure.exceptionOrNull()!!.message)
        }

    @Test
    fun `after close, calls say what to do, and no thread is left`() =
        runBlocking {
            val before = Thread.getAllStackTraces().keys
            val other = aside { MobileNetV4.open(Fixtures.context, folder) }
            other.runBlocking(Images.of(seven))
            other.close()
            assertEquals(emptySet<Thread>(), Thread.getAllStackTraces().keys - before)
            for (call in listOf<suspend () -> Any>(
                { other.classify(seven) },
                { other.runBlocking(Images.of(seven)) },
            )) {
                val error = runCatching { call() }.exceptionOrNull()
                assertTrue("$error", error is IllegalStateException && error !is CancellationException)
                assertTrue(error!!.message, "is closed; open it again" in error.message!!)
            }
        }

    @Test
    fun `open on the main thread is refused`() {
        val error = assertThrows(IllegalStateException::class.java) { MobileNetV4.open(Fixtures.context, folder) }
        assertTrue(error.message, "withContext(Dispatchers.IO)" in error.message!!)
    }
}
