package io.github.mnv4

import android.content.Context
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Mnv4Internal
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelManifest
import java.io.File
import java.nio.ByteBuffer
import java.util.ServiceLoader

/** A loaded network. Only one thread at a time may use it. */
@Mnv4Internal
public interface Session : AutoCloseable {
    /** Name and version of the runtime. */
    public val runtime: String

    /** The buffer to fill with the input, in native byte order, before [run]. */
    public val input: ByteBuffer

    /** Runs the network and returns the outputs in the manifest's order, which the caller may keep. */
    public fun run(): List<FloatArray>
}

/** The bytes of an artifact in the forms that runtimes take. What it returns was checked against the manifest. */
@Mnv4Internal
public interface Artifact {
    /** Maps the artifact into memory. */
    public fun map(): ByteBuffer

    /** Returns a file with the artifact, and extracts it first if it is an asset. */
    public fun file(): File
}

/** A runtime: a module of this library implements it, and names it in `META-INF/services`. */
@Mnv4Internal
public interface RuntimeProvider {
    /** The units that run the artifacts of each target, as manifests name it. */
    public val units: Map<String, List<Accelerator>>

    /**
     * Loads an artifact.
     *
     * @param unit one of [units].
     * @param threads the number of runtime threads on the CPU.
     * @throws Mnv4Exception.Unsupported if the device or the app does not have the unit.
     * @throws Mnv4Exception.RuntimeFailed if the runtime cannot load it, or the unit does not take all of it.
     */
    public fun open(
        context: Context,
        manifest: ModelManifest,
        artifact: Artifact,
        unit: Accelerator,
        threads: Int,
    ): Session
}

/** The units that [Accelerator.Auto] chooses from. */
@Mnv4Internal
public val UNITS: List<Accelerator> = Accelerator.entries - Accelerator.Auto

/** A unit's name in plans and results: `cpu`, `gpu` or `npu`. */
@Mnv4Internal
public val Accelerator.unit: String get() = name.lowercase()

/**
 * Runs [block], and turns failures of the runtime into [Mnv4Exception.RuntimeFailed].
 *
 * @param what begins the message: the bundle, and what its runtime cannot do.
 */
@Mnv4Internal
public fun <T> running(
    what: String,
    block: () -> T,
): T =
    try {
        block()
    } catch (error: Mnv4Exception) {
        throw error
    } catch (error: Exception) {
        throw Mnv4Exception.RuntimeFailed("$what: ${error.message}", error)
    } catch (error: LinkageError) {
        // The runtime's classes throw this when they load their native library.
        throw Mnv4Exception.RuntimeFailed(
            "$what: the app has no native library of the runtime for this processor: ${error.message}",
            error,
        )
    }

/** The module of this library that has the runtime of a target. */
private val MODULES = mapOf("tflite" to "mnv4-litert", "snapdragon" to "mnv4-litert", "executorch" to "mnv4-executorch")

internal fun openSession(
    context: Context,
    bundle: ModelBundle,
    artifact: Artifact,
    unit: Accelerator,
    threads: Int,
): Session {
    val manifest = bundle.manifest
    val module =
        MODULES[manifest.target] ?: throw Mnv4Exception.BadBundle(
            "${bundle.files.name}: is for ${manifest.target}, Android runs: ${MODULES.keys.joinToString()}",
        )
    // The class loader of the library, as that of the calling thread may not know the app.
    val provider =
        ServiceLoader
            .load(RuntimeProvider::class.java, RuntimeProvider::class.java.classLoader)
            .firstOrNull { manifest.target in it.units }
            ?: throw Mnv4Exception.MissingRuntime(
                "${manifest.id}: the app lacks its runtime; add to build.gradle.kts: " +
                    "implementation(project(\":$module\"))",
            )
    manifest.outputs.firstOrNull { it.dtype != "float32" && it.quantization == null }?.let {
        throw Mnv4Exception.BadBundle(
            "${bundle.files.name}: output ${it.name}: found ${it.dtype}, allowed: float32 or quantized integers",
        )
    }
    val units = provider.units.getValue(manifest.target)
    if (unit !in units) {
        throw Mnv4Exception.Unsupported(
            "${manifest.id}: Options.accelerator: found $unit, artifacts for ${manifest.target} run on: " +
                units.joinToString(),
        )
    }
    return provider.open(context, manifest, artifact, unit, threads)
}
