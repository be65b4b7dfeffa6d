package io.github.mnv4

import io.github.mnv4.core.InputSize

/** What runs a network. */
public enum class Accelerator {
    /** The processor. */
    Cpu,

    /** The graphics processor, through LiteRT. */
    Gpu,

    /** The neural processor, through LiteRT. */
    Npu,

    /**
     * The fastest of these that is right.
     *
     * The first opening on a device checks the bundle's golden images and times 20 runs on every unit, which takes
     * seconds, and remembers the choice for this input size until the system, the app, the artifact or the number of threads changes.
     */
    Auto,
}

/** How a network is opened. */
public class Options
    @JvmOverloads
    constructor(
        /**
         * The number of runtime threads. The default is half of the cores, at most four: with more
         * threads, the fast cores wait for the slow ones.
         *
         * ExecuTorch has one number of threads for the whole process: all of its networks that are open at
         * the same time need the same number.
         */
        public val threads: Int = (Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, 4),
        /** Whether to run the network once while opening it, because the first run takes longer than the others. */
        public val warmUp: Boolean = true,
        /** What runs it. A unit that cannot run all of it is an error; the CPU never replaces it silently. */
        public val accelerator: Accelerator = Accelerator.Cpu,
        /**
         * The input size of the network, for a bundle that takes several; null for the bundle's default.
         *
         * The GPU and the NPU take the default alone, because the Kotlin API of LiteRT cannot resize a model there.
         */
        public val inputSize: InputSize? = null,
    ) {
        init {
            require(threads > 0) { "Options.threads: found $threads, must be 1 or more" }
        }
    }
