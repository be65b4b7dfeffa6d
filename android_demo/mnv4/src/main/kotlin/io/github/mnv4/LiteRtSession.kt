package io.github.mnv4

import io.github.mnv4.core.Manifest
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Runs an artifact in LiteRT, on the CPU with XNNPACK. */
internal class LiteRtSession(
    private val manifest: Manifest,
    model: ByteBuffer,
    threads: Int,
) : Session {
    private val interpreter: Interpreter =
        running("${manifest.id}: LiteRT cannot load it") {
            Interpreter(model, Interpreter.Options().setNumThreads(threads))
        }

    override val runtime: String get() = "litert ${TensorFlowLite.runtimeVersion()}"

    override val input: ByteBuffer = direct(manifest.input.bytes)

    private val buffers = manifest.outputs.associate { it.name to direct(it.bytes) }
    private val fed: Map<String, Any> = mapOf(manifest.input.name to input)

    override fun run(): List<FloatArray> {
        buffers.values.forEach { it.clear() }
        running("${manifest.id}: LiteRT cannot run it") { interpreter.runSignature(fed, buffers) }
        return manifest.outputs.map { it.floats(buffers.getValue(it.name)) }
    }

    override fun close(): Unit = interpreter.close()

    private fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
}
