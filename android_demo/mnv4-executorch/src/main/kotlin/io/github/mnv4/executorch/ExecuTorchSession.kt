package io.github.mnv4.executorch

import android.content.Context
import io.github.mnv4.Accelerator
import io.github.mnv4.Artifact
import io.github.mnv4.RuntimeProvider
import io.github.mnv4.Session
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.running
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.locks.ReentrantReadWriteLock
import kotlin.concurrent.read
import kotlin.concurrent.write

/** Runs bundles for ExecuTorch. */
public class ExecuTorchProvider : RuntimeProvider {
    override val units: Map<String, List<Accelerator>> get() = mapOf("executorch" to listOf(Accelerator.Cpu))

    override fun open(
        context: Context,
        manifest: ModelManifest,
        artifact: Artifact,
        unit: Accelerator,
        threads: Int,
    ): Session = ExecuTorchSession(manifest, artifact.file(), threads)
}

/** Runs a program in ExecuTorch, with the program's XNNPACK delegate. */
internal class ExecuTorchSession(
    private val manifest: ModelManifest,
    program: File,
    threads: Int,
) : Session {
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

    // The last of them: nothing can fail after it, so it needs no closing here.
    private val module: Module =
        Pool.enter(manifest.id, threads) {
            running("${manifest.id}: ExecuTorch cannot load it") {
                Module.load(program.path, Module.LOAD_MODE_MMAP, threads)
            }
        }

    /** ExecuTorch's Java API reports no version. */
    override val runtime: String get() {
        val backends =
            running("${manifest.id}: ExecuTorch cannot describe it") { module.getMethodMetadata("forward").backends }
        return "executorch (${backends.joinToString().ifEmpty { "portable" }})"
    }

    override fun run(): List<FloatArray> {
        val values = Pool.use { running("${manifest.id}: ExecuTorch cannot run it") { module.forward(fed) } }
        return values.mapIndexed { i, value ->
            val output = manifest.outputs[i]
            val tensor = value.toTensor()
            when (output.dtype) {
                "uint8" -> output.floats(ByteBuffer.wrap(tensor.dataAsUnsignedByteArray))
                "int8" -> output.floats(ByteBuffer.wrap(tensor.dataAsByteArray))
                else -> tensor.dataAsFloatArray
            }
        }
    }

    override fun close() {
        module.close()
        Pool.leave()
    }
}

/**
 * ExecuTorch's pool of threads, which belongs to the process.
 *
 * Loading a program with another number of threads replaces the pool, and those that are loaded keep a pointer to
 * the old one: their next run hangs or ends the process. With the same number it may do so while another program runs
 * (a run and a load waited for each other, in `pthreadpool_destroy`), so nothing runs while a program is loaded.
 */
private object Pool {
    private val lock = ReentrantReadWriteLock(true) // fair, so that constant runs let a program be loaded
    private var threads = 0
    private var users = 0

    /** Runs [load], which loads a program, if the pool has the right number of threads or no other user. */
    fun <T> enter(
        id: String,
        wanted: Int,
        load: () -> T,
    ): T =
        lock.write {
            if (users > 0 && wanted != threads) {
                throw Mnv4Exception.Unsupported(
                    "$id: $wanted threads: ExecuTorch has one number of threads for the whole process, and a network " +
                        "with $threads is open; open this one with Options(threads = $threads), or close the other one first",
                )
            }
            val loaded = load()
            threads = wanted
            users++
            loaded
        }

    /** Runs [run], which runs a program. */
    fun <T> use(run: () -> T): T = lock.read(run)

    /** Undoes [enter], after the program was closed. */
    fun leave(): Unit = lock.write { users-- }
}
