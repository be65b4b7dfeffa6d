package io.github.mnv4

import io.github.mnv4.core.Bundle
import io.github.mnv4.core.Mnv4Exception
import java.io.File
import java.nio.ByteBuffer

/** A loaded network. Only one thread at a time may use it. */
internal interface Session : AutoCloseable {
    /** Name and version of the runtime. */
    val runtime: String

    /** The buffer to fill with the input, in native byte order, before [run]. */
    val input: ByteBuffer

    /** Runs the network and returns the outputs in the manifest's order, which the caller may keep. */
    fun run(): List<FloatArray>
}

/** A runtime that an app may have on its class path. */
internal enum class Runtime(
    val target: String,
    private val entry: String,
    private val dependency: String,
) {
    LITE_RT("tflite", "org.tensorflow.lite.Interpreter", "com.google.ai.edge.litert:litert:1.4.0"),
    EXECUTORCH("executorch", "org.pytorch.executorch.Module", "org.pytorch:executorch-android:1.5.1"),
    ;

    fun requirePresent(bundle: String) {
        try {
            Class.forName(entry, false, Runtime::class.java.classLoader)
        } catch (_: ClassNotFoundException) {
            throw Mnv4Exception.MissingRuntime(
                "$bundle: the app lacks its runtime; add to build.gradle.kts: implementation(\"$dependency\")",
            )
        }
    }

    companion object {
        fun of(bundle: Bundle): Runtime =
            entries.firstOrNull { it.target == bundle.manifest.target }
                ?: throw Mnv4Exception.BadBundle(
                    "${bundle.files.name}: is for ${bundle.manifest.target}, " +
                        "Android runs: ${entries.joinToString { it.target }}",
                )
    }
}

/** Runs [block], and turns failures of the runtime into [Mnv4Exception.RuntimeFailed]. */
internal fun <T> running(
    what: String,
    block: () -> T,
): T =
    try {
        block()
    } catch (error: RuntimeException) {
        throw Mnv4Exception.RuntimeFailed("$what: ${error.message}", error)
    } catch (error: LinkageError) {
        // The runtime's classes throw this when they load their native library.
        throw Mnv4Exception.RuntimeFailed(
            "$what: the app has no native library of the runtime for this processor: ${error.message}",
            error,
        )
    }

/** The bytes of an artifact in the forms that runtimes take. */
internal interface ArtifactStore {
    /** Maps the artifact into memory. */
    fun map(): ByteBuffer

    /** Returns a file with the artifact, and extracts it first if it is an asset. */
    fun file(): File
}

internal fun openSession(
    bundle: Bundle,
    artifact: ArtifactStore,
    threads: Int,
): Session {
    val runtime = Runtime.of(bundle)
    runtime.requirePresent(bundle.manifest.id)
    bundle.manifest.outputs.firstOrNull { it.dtype != "float32" && it.quantization == null }?.let {
        throw Mnv4Exception.BadBundle(
            "${bundle.files.name}: output ${it.name}: found ${it.dtype}, allowed: float32 or quantized integers",
        )
    }
    return when (runtime) {
        Runtime.LITE_RT -> LiteRtSession(bundle.manifest, artifact.map(), threads)
        Runtime.EXECUTORCH -> ExecuTorchSession(bundle.manifest, artifact.file(), threads)
    }
}
