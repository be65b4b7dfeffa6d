// Declared after LiteRT 2.3.0:
// https://github.com/google-ai-edge/LiteRT/blob/f67457790/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/Common.kt
// https://github.com/google-ai-edge/LiteRT/blob/f67457790/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/LiteRtException.kt
package com.google.ai.edge.litert

public enum class Accelerator(
    public val value: Int,
) {
    NONE(0),
    CPU(1),
    GPU(2),
    NPU(3),
}

public abstract class JniHandle internal constructor() : AutoCloseable {
    private var closed = false

    init {
        StandIn.open++
    }

    final override fun close() {
        if (!closed) StandIn.open--
        closed = true
    }

    protected fun assertNotDestroyed(): Unit = check(!closed) { "The handle has been destroyed." }
}

public enum class Status(
    public val code: Int,
) {
    ErrorRuntimeFailure(3),
    ErrorCompilation(504),
}

public class LiteRtException(
    public val status: Status,
    message: String,
) : Exception(message) {
    /** The one that native code calls. */
    public constructor(code: Int, message: String) : this(Status.entries.first { it.code == code }, message)
}

/** What stands in for LiteRT's native code: a unit of the device, which computes with TensorFlow Lite on the CPU. */
public object StandIn {
    /** The accelerators that LiteRT finds. */
    public var available: Set<Accelerator> = setOf(Accelerator.CPU)

    /** Whether the accelerators leave operators to the CPU. */
    public var takesAll: Boolean = true

    /** The message of each run's failure, if it is to fail. */
    public var failure: String? = null

    /** The options of the models that were created. */
    public val created: MutableList<CompiledModel.Options> = ArrayList()

    /** How many objects are open. */
    public var open: Int = 0

    /** The threads that used a model. */
    public val threads: MutableSet<Thread> = HashSet()

    public fun reset() {
        available = setOf(Accelerator.CPU)
        takesAll = true
        failure = null
        created.clear()
        threads.clear()
    }
}
