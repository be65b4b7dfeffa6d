package io.github.mnv4.litert

import android.content.Context
import io.github.mnv4.Accelerator
import io.github.mnv4.Artifact
import io.github.mnv4.RuntimeProvider
import io.github.mnv4.Session
import io.github.mnv4.UNITS
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.moveTo
import io.github.mnv4.running
import io.github.mnv4.socModel
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Runs bundles for LiteRT, and those that were compiled for a Snapdragon's NPU. */
public class LiteRtProvider : RuntimeProvider {
    override val units: Map<String, List<Accelerator>> get() =
        mapOf("tflite" to UNITS, "snapdragon" to listOf(Accelerator.Npu))

    /** LiteRT's `Interpreter` computes on the CPU alone, without copies of inputs and outputs. */
    override fun open(
        context: Context,
        manifest: ModelManifest,
        artifact: Artifact,
        unit: Accelerator,
        threads: Int,
    ): Session {
        checkSoc(manifest)
        if (unit != Accelerator.Cpu) checkSize(manifest, unit)
        return if (unit == Accelerator.Cpu) {
            LiteRtSession(manifest, artifact.map(), threads)
        } else {
            CompiledSession(context, manifest, artifact.file(), unit)
        }
    }

    /** LiteRT resizes a model in any accelerator, but `CompiledModel` in Kotlin has no function for it. */
    private fun checkSize(
        manifest: ModelManifest,
        unit: Accelerator,
    ) {
        if (manifest.resized) {
            throw Mnv4Exception.Unsupported(
                "${manifest.id}: Options.inputSize: found ${manifest.inputSize}, the ${unit.name.uppercase()} takes: " +
                    "${manifest.inputSizes.first()}; run it on the CPU, or build a bundle whose default is ${manifest.inputSize}",
            )
        }
    }

    private fun checkSoc(manifest: ModelManifest) {
        val soc = manifest.requires["snapdragon.soc"] ?: return
        if (soc != socModel()) {
            val found = socModel().ifEmpty { "one that Android does not name" }
            throw Mnv4Exception.Unsupported("${manifest.id}: is compiled for the SoC $soc, found $found")
        }
    }
}

/** LiteRT's classes report the version of TensorFlow Lite in it. */
internal fun runtime(): String = "tflite ${TensorFlowLite.runtimeVersion()}"

internal fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

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
            val loaded = Interpreter(model, Interpreter.Options().setNumThreads(threads))
            var works = false
            try {
                loaded.resizeInput(0, manifest.input.shape.toIntArray()) // changes nothing at the default size
                loaded.allocateTensors()
                works = true
            } finally {
                if (!works) loaded.close()
            }
            loaded
        }

    override val runtime: String get() = runtime()

    override fun run(): List<FloatArray> {
        buffers.values.forEach { it.moveTo(0) }
        running("${manifest.id}: LiteRT cannot run it") { interpreter.runSignature(fed, buffers) }
        return manifest.outputs.map { it.floats(buffers.getValue(it.name)) }
    }

    override fun close(): Unit = interpreter.close()
}
