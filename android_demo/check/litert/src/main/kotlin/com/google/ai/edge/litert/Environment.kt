// Declared after LiteRT 2.3.0:
// https://github.com/google-ai-edge/LiteRT/blob/f67457790/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/Environment.kt
// https://github.com/google-ai-edge/LiteRT/blob/f67457790/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/AcceleratorProvider.kt
package com.google.ai.edge.litert

import android.content.Context

public class Environment private constructor() : JniHandle() {
    public enum class Option { CompilerPluginLibraryDir, DispatchLibraryDir }

    @Throws(LiteRtException::class)
    public fun getAvailableAccelerators(): Set<Accelerator> {
        assertNotDestroyed()
        return StandIn.available
    }

    public companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        @Suppress("UNUSED_PARAMETER")
        public fun create(options: Map<Option, String> = mapOf()): Environment = Environment()

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        @Suppress("UNUSED_PARAMETER")
        public fun create(
            context: Context,
            npuAcceleratorProvider: NpuAcceleratorProvider,
            options: Map<Option, String> = mapOf(),
            enableCompilerCache: Boolean = true,
        ): Environment = Environment()
    }
}

public interface NpuAcceleratorProvider {
    public fun getLibraryDir(): String
}

public class BuiltinNpuAcceleratorProvider(
    private val context: Context,
) : NpuAcceleratorProvider {
    override fun getLibraryDir(): String = context.applicationInfo.nativeLibraryDir
}
