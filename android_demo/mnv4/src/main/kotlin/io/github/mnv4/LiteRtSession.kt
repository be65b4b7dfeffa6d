package io.github.mnv4

import io.github.mnv4.core.Manifest
import io.github.mnv4.core.Mnv4Exception
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** LiteRT, on the CPU with XNNPACK. */
internal class LiteRtSession(
    private val manifest: Manifest,
    model: ByteBuffer,
    threads: Int,
) : Session {
    private val interpreter: Interpreter =
        running("cannot load") { Interpreter(model, Interpreter.Options().setNumThreads(threads)) }

    override val runtime: String get() = "litert ${TensorFlowLite.runtimeVersion()}"

    override val input: ByteBuffer = direct(manifest.input.bytes)

    private val found = manifest.outputs.map { FloatArray(it.size) }
    private val buffers = manifest.outputs.associate { it.name to direct(it.bytes) }
    private val fed: Map<String, Any> = mapOf(manifest.input.name to input)

    override fun run(): List<FloatArray> {
        buffers.values.forEach { it.clear() }
        running("cannot run") { interpreter.runSignature(fed, buffers) }
        manifest.outputs.forEachIndexed { i, output ->
            val buffer = buffers.getValue(output.name)
            buffer.rewind()
            buffer.asFloatBuffer().get(found[i])
        }
        return found
    }

    override fun close(): Unit = interpreter.close()

    private fun <T> running(
        what: String,
        block: () -> T,
    ): T =
        try {
            block()
        } catch (error: IllegalArgumentException) {
            throw Mnv4Exception.RuntimeFailed("${manifest.id}: LiteRT $what it: ${error.message}", error)
        } catch (error: IllegalStateException) {
            throw Mnv4Exception.RuntimeFailed("${manifest.id}: LiteRT $what it: ${error.message}", error)
        }

    private fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
}
