package io.github.mnv4.executorch

import io.github.mnv4.Artifact
import io.github.mnv4.RuntimeProvider
import io.github.mnv4.Session
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.running
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Runs bundles for ExecuTorch. */
public class ExecuTorchProvider : RuntimeProvider {
    override val target: String get() = "executorch"

    override fun open(
        manifest: ModelManifest,
        artifact: Artifact,
        threads: Int,
    ): Session = ExecuTorchSession(manifest, artifact.file(), threads)
}

/** Runs a program in ExecuTorch, with the program's XNNPACK delegate. */
internal class ExecuTorchSession(
    private val manifest: ModelManifest,
    program: File,
    threads: Int,
) : Session {
    private val module: Module =
        running("${manifest.id}: ExecuTorch cannot load it") {
            Module.load(program.path, Module.LOAD_MODE_MMAP, threads)
        }

    /** ExecuTorch's Java API does not report a version. */
    override val runtime: String get() = "executorch"

    override val input: ByteBuffer =
        ByteBuffer.allocateDirect(manifest.input.bytes).order(ByteOrder.nativeOrder())

    private val fed: EValue =
        manifest.input.shape.map(Int::toLong).toLongArray().let { shape ->
            // Tensors made of a buffer share its memory.
            EValue.from(
                when (manifest.input.dtype) {
                    "uint8" -> Tensor.fromBlobUnsigned(input, shape)
                    "int8" -> Tensor.fromBlob(input, shape)
                    else -> Tensor.fromBlob(input.asFloatBuffer(), shape)
                },
            )
        }

    override fun run(): List<FloatArray> =
        running("${manifest.id}: ExecuTorch cannot run it") { module.forward(fed) }.mapIndexed { i, value ->
            val output = manifest.outputs[i]
            val tensor = value.toTensor()
            when (output.dtype) {
                "uint8" -> output.floats(ByteBuffer.wrap(tensor.dataAsUnsignedByteArray))
                "int8" -> output.floats(ByteBuffer.wrap(tensor.dataAsByteArray))
                else -> tensor.dataAsFloatArray
            }
        }

    override fun close(): Unit = module.close()
}
