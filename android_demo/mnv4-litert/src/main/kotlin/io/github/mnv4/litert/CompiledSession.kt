package io.github.mnv4.litert

import android.content.Context
import com.google.ai.edge.litert.BuiltinNpuAcceleratorProvider
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.TensorBuffer
import io.github.mnv4.Accelerator
import io.github.mnv4.Session
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.moveTo
import io.github.mnv4.running
import java.io.File
import java.nio.ByteBuffer
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/**
 * Runs an artifact in LiteRT, wholly on the GPU or wholly on the NPU.
 *
 * All calls are made on one thread, since a context of OpenGL ES belongs to the thread that made it.
 */
internal class CompiledSession(
    private val context: Context,
    private val manifest: ModelManifest,
    file: File,
    private val unit: Accelerator,
) : Session {
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "mnv4-litert").apply { isDaemon = true } }

    /** What was opened so far, to be closed in the opposite order. */
    private val opened = ArrayList<AutoCloseable>()
    private lateinit var model: CompiledModel
    private lateinit var inputs: Map<String, TensorBuffer>
    private lateinit var outputs: Map<String, TensorBuffer>

    override val input: ByteBuffer = direct(manifest.input.bytes)

    override val runtime: String get() = runtime()

    init {
        var works = false
        try {
            onThread("cannot load it") { load(file) }
            works = true
        } finally {
            if (!works) close()
        }
    }

    private fun load(file: File) {
        val environment = environment().also(opened::add)
        val wanted = if (unit == Accelerator.Gpu) LiteRtAccelerator.GPU else LiteRtAccelerator.NPU
        val available = environment.getAvailableAccelerators()
        if (wanted !in available) {
            val why = if (unit == Accelerator.Gpu) NO_GPU else NO_NPU
            throw Mnv4Exception.Unsupported(
                "${manifest.id}: LiteRT has no $wanted here, only ${available.sorted().joinToString()}: $why",
            )
        }
        model = CompiledModel.create(file.path, options(wanted), environment).also(opened::add)
        inputs = mapOf(manifest.input.name to model.createInputBuffer(manifest.input.name).also(opened::add))
        outputs = manifest.outputs.associate { it.name to model.createOutputBuffer(it.name).also(opened::add) }
    }

    private fun environment(): Environment =
        if (unit == Accelerator.Gpu) {
            Environment.create()
        } else {
            Environment.create(context, BuiltinNpuAcceleratorProvider(context))
        }

    /**
     * Returns options without the CPU, with which LiteRT refuses a model that it cannot run wholly on the unit.
     *
     * Kotlin has no `isFullyAccelerated` to ask. LiteRT adds the CPU to an NPU that stands alone, but not to one
     * beside NONE.
     */
    private fun options(wanted: LiteRtAccelerator): CompiledModel.Options {
        val options = CompiledModel.Options(wanted, LiteRtAccelerator.NONE)
        val demanded = manifest.golden.maxOf { it.minSqnrDb ?: 0.0 }
        if (unit == Accelerator.Gpu && demanded > FLOAT16_DB) {
            options.gpuOptions = CompiledModel.GpuOptions(precision = CompiledModel.GpuOptions.Precision.FP32)
        }
        return options
    }

    override fun run(): List<FloatArray> =
        onThread("cannot run it") {
            feed(inputs.getValue(manifest.input.name))
            model.run(inputs, outputs)
            manifest.outputs.map { output ->
                val buffer = outputs.getValue(output.name)
                if (output.dtype == "float32") buffer.readFloat() else output.floats(ByteBuffer.wrap(buffer.readInt8()))
            }
        }

    private fun feed(buffer: TensorBuffer) {
        input.moveTo(0)
        if (manifest.input.dtype == "float32") {
            buffer.writeFloat(FloatArray(manifest.input.size).also(input.asFloatBuffer()::get))
        } else {
            buffer.writeInt8(ByteArray(manifest.input.size).also(input::get))
        }
    }

    private fun <T> onThread(
        failure: String,
        block: () -> T,
    ): T {
        val what = "${manifest.id}: LiteRT $failure on the ${unit.name.uppercase()}"
        try {
            return thread.submit(Callable { running(what, block) }).get()
        } catch (error: ExecutionException) {
            throw error.cause ?: error
        }
    }

    override fun close() {
        onThread("cannot close it") { opened.asReversed().forEach(AutoCloseable::close) }
        thread.shutdown()
    }

    private companion object {
        /** A GPU that computes in float16 cannot give more: the 11 bits of its numbers are 66 dB. */
        const val FLOAT16_DB = 60.0
        const val NO_GPU =
            "add implementation(\"com.google.ai.edge.litert:litert-gpu:2.3.0\") to build.gradle.kts; " +
                "if the app has it, apps may not use the GPU of this device"
        const val NO_NPU =
            "the app needs LiteRT's dispatch library and the maker's libraries for this SoC, " +
                "see the README of these modules"
    }
}
