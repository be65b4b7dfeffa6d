// Declared after LiteRT 2.3.0:
// https://github.com/google-ai-edge/LiteRT/blob/f67457790/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/Model.kt
// https://github.com/google-ai-edge/LiteRT/blob/f67457790/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/TensorBuffer.kt
package com.google.ai.edge.litert

import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

public class CompiledModel private constructor(
    private val interpreter: Interpreter,
) : JniHandle() {
    public data class GpuOptions
        constructor(
            public val precision: Precision? = null,
        ) {
            public enum class Precision { DEFAULT, FP16, FP32, FP16_WITH_FP32_ACCUM }
        }

    public class Options(
        public val accelerators: Set<Accelerator>,
    ) {
        public constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        public var gpuOptions: GpuOptions? = null
    }

    @Throws(LiteRtException::class)
    @Suppress("UNUSED_PARAMETER")
    public fun createInputBuffer(
        inputName: String,
        signature: String = "",
    ): TensorBuffer {
        assertNotDestroyed()
        return TensorBuffer(interpreter.getInputTensorFromSignature(inputName, KEY))
    }

    @Throws(LiteRtException::class)
    @Suppress("UNUSED_PARAMETER")
    public fun createOutputBuffer(
        outputName: String,
        signature: String = "",
    ): TensorBuffer {
        assertNotDestroyed()
        return TensorBuffer(interpreter.getOutputTensorFromSignature(outputName, KEY))
    }

    @Throws(LiteRtException::class)
    @Suppress("UNUSED_PARAMETER")
    public fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String = "",
    ) {
        assertNotDestroyed()
        StandIn.threads += Thread.currentThread()
        StandIn.failure?.let { throw LiteRtException(Status.ErrorRuntimeFailure, it) }
        interpreter.runSignature(inputs.mapValues { it.value.start() }, outputs.mapValues { it.value.start() })
    }

    public companion object {
        private const val KEY = "serving_default"

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        public fun create(
            filePath: String,
            options: Options,
            optionalEnv: Environment? = null,
        ): CompiledModel {
            check(optionalEnv != null)
            StandIn.threads += Thread.currentThread()
            StandIn.created += options
            // As in the published source, which adds the CPU to an NPU that stands alone.
            val accelerators = options.accelerators
            val cpu = Accelerator.CPU in accelerators || accelerators == setOf(Accelerator.NPU)
            if (!StandIn.takesAll && !cpu) {
                throw LiteRtException(Status.ErrorCompilation, "Some ops are not accelerated.")
            }
            return CompiledModel(Interpreter(File(filePath)))
        }
    }
}

public class TensorBuffer internal constructor(
    tensor: Tensor,
) : JniHandle() {
    private val bytes = ByteBuffer.allocateDirect(tensor.numBytes())
    private val type = tensor.dataType()

    @Throws(LiteRtException::class)
    public fun writeFloat(data: FloatArray) {
        assertNotDestroyed()
        check(type == DataType.FLOAT32)
        start().asFloatBuffer().put(data)
    }

    @Throws(LiteRtException::class)
    public fun writeInt8(data: ByteArray) {
        assertNotDestroyed()
        check(type == DataType.INT8 || type == DataType.UINT8)
        start().put(data)
    }

    @Throws(LiteRtException::class)
    public fun readFloat(): FloatArray {
        assertNotDestroyed()
        check(type == DataType.FLOAT32)
        return FloatArray(bytes.capacity() / Float.SIZE_BYTES).also(start().asFloatBuffer()::get)
    }

    @Throws(LiteRtException::class)
    public fun readInt8(): ByteArray {
        assertNotDestroyed()
        check(type == DataType.INT8 || type == DataType.UINT8)
        return ByteArray(bytes.capacity()).also(start()::get)
    }

    internal fun start(): ByteBuffer = bytes.duplicate().order(ByteOrder.nativeOrder())
}
