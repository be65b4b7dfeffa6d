package io.github.mnv4.litert

import io.github.mnv4.Artifact
import io.github.mnv4.RuntimeProvider
import io.github.mnv4.Session
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.moveTo
import io.github.mnv4.running
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Runs bundles for LiteRT. */
public class LiteRtProvider : RuntimeProvider {
    override val target: String get() = "tflite"

    override fun open(
        manifest: ModelManifest,
        artifact: Artifact,
        threads: Int,
    ): Session = LiteRtSession(manifest, artifact.map(), threads)
}

/** Runs an artifact in LiteRT, on the CPU with XNNPACK. */
internal class LiteRtSession(
    private val manifest: ModelManifest,
    model: ByteBuffer,
    threads: Int,
) : Session {
    override val input: ByteBuffer = direct(manifest.input.bytes)

    private val buffers = manifest.outputs.associate { it.name to direct(it.bytes) }
    private val fed: Map<String, Any> = mapOf(manifest.input.name to input)

    // The last of them: nothing can fail after it, so it needs no closing here.
    private val interpreter: Interpreter =
        running("${manifest.id}: LiteRT cannot load it") {
            Interpreter(model, Interpreter.Options().setNumThreads(threads))
        }

    /** LiteRT's classes report the version of TensorFlow Lite in it. */
    override val runtime: String get() = "tflite ${TensorFlowLite.runtimeVersion()}"

    override fun run(): List<FloatArray> {
        buffers.values.forEach { it.moveTo(0) }
        running("${manifest.id}: LiteRT cannot run it") { interpreter.runSignature(fed, buffers) }
        return manifest.outputs.map { it.floats(buffers.getValue(it.name)) }
    }

    override fun close(): Unit = interpreter.close()

    private fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
}
