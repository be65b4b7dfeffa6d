package io.github.mnv4

import io.github.mnv4.core.Manifest
import io.github.mnv4.core.Mnv4Exception
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** ExecuTorch, with the XNNPACK delegate that is in the program. */
internal class ExecuTorchSession(
    private val manifest: Manifest,
    program: File,
    threads: Int,
) : Session {
    private val module: Module = running("cannot load") { Module.load(program.path, Module.LOAD_MODE_MMAP, threads) }

    /** Its Java API does not tell its version. */
    override val runtime: String get() = "executorch"

    override val input: ByteBuffer =
        ByteBuffer.allocateDirect(manifest.input.bytes).order(ByteOrder.nativeOrder())

    private val fed: EValue =
        manifest.input.shape.map(Int::toLong).toLongArray().let { shape ->
            // Tensors made of a buffer share its memory.
            EValue.from(
                if (manifest.input.dtype == "uint8") {
                    Tensor.fromBlobUnsigned(input, shape)
                } else {
                    Tensor.fromBlob(input.asFloatBuffer(), shape)
                },
            )
        }

    override fun run(): List<FloatArray> =
        running("cannot run") { module.forward(fed) }.map { it.toTensor().dataAsFloatArray }

    override fun close(): Unit = module.close()

    private fun <T> running(
        what: String,
        block: () -> T,
    ): T =
        try {
            block()
        } catch (error: RuntimeException) {
            throw Mnv4Exception.RuntimeFailed("${manifest.id}: ExecuTorch $what it: ${error.message}", error)
        }
}
