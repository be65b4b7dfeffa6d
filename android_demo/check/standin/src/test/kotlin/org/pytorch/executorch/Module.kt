package org.pytorch.executorch

/** Stands in for ExecuTorch's class, to fail as that does: see standin/pom.xml. */
class Module private constructor() : java.io.Closeable {
    fun forward(vararg inputs: EValue): Array<EValue> {
        if (failure != null || !runs) throw RuntimeException(failure)
        val classes = 10L
        check(inputs.single().isTensor)
        return arrayOf(EValue.from(Tensor.fromBlob(FloatArray(classes.toInt()), longArrayOf(1, classes))))
    }

    fun getMethodMetadata(name: String) = MethodMetadata(name, arrayOf("StandIn"))

    override fun close() {
        open--
    }

    companion object {
        const val LOAD_MODE_MMAP = 1

        /** The message of every call's failure, if it is to fail. */
        var failure: String? = null

        /** Whether it runs what it loaded. */
        var runs = true

        /** How many are loaded and not closed. */
        var open = 0

        @JvmStatic
        @Suppress("UNUSED_PARAMETER")
        fun load(
            path: String,
            mode: Int,
            threads: Int,
        ): Module {
            if (failure != null) throw RuntimeException(failure)
            open++
            return Module()
        }
    }
}
