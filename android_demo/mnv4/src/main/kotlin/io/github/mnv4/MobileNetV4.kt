package io.github.mnv4

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import io.github.mnv4.core.Classification
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.Preprocessor
import java.io.File
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlin.coroutines.suspendCoroutine

/** A bundle in the app's assets; the generated `Mnv4Models` lists all of them. */
public data class Mnv4Model(
    /** The bundle's folder in `assets/mnv4/`. A module has its name and a dot in front of the bundles' ids. */
    public val folder: String,
)

/**
 * A network that is loaded and ready.
 *
 * Any thread may call it; calls run one at a time. To run several at once, open one network per
 * thread. The buffers of the input and of the resizing are kept from call to call.
 */
public class MobileNetV4 private constructor(
    /** The manifest of the bundle that it was opened from. */
    public val manifest: ModelManifest,
    private val session: Session,
    /** How long the runtime took to load the artifact, in milliseconds. */
    public val loadMs: Double,
) : AutoCloseable {
    private val preprocessor = Preprocessor(manifest.preprocess, manifest.input)
    private val executor = lazy<ExecutorService> { Executors.newSingleThreadExecutor() }
    private var closed = false

    /** How long the parts of the last call took, in milliseconds. */
    public var lastTimes: Times = Times(0.0, 0.0)
        private set

    /** Name and version of the runtime, as in `litert 2.16.1`. */
    public val runtime: String get() = session.runtime

    /** How long the parts of a call took, in milliseconds. */
    public data class Times(
        /** The time from the image to the input. */
        public val preprocess: Double,
        /** The time from the input to the outputs. */
        public val network: Double,
    )

    /**
     * Returns the most probable classes of a bitmap.
     *
     * @throws Mnv4Exception if anything goes wrong.
     */
    public fun classify(
        bitmap: Bitmap,
        top: Int = 5,
    ): List<Classification> = run(Images.of(bitmap)).top(top)

    /**
     * Returns the most probable classes of a camera frame (`YUV_420_888`), read within its `cropRect`.
     *
     * @param rotationDegrees by how much the frame is turned clockwise to be upright.
     * @throws Mnv4Exception if anything goes wrong.
     */
    public fun classify(
        frame: Image,
        rotationDegrees: Int,
        top: Int = 5,
    ): List<Classification> = run(Images.of(frame, rotationDegrees)).top(top)

    /** Runs [classify] on a thread of its own, without blocking the caller's. */
    public suspend fun classifyAsync(
        bitmap: Bitmap,
        top: Int = 5,
    ): List<Classification> = aside { classify(bitmap, top) }

    /** Runs [run] on a thread of its own, without blocking the caller's. */
    public suspend fun runAsync(image: PixelSource): Outputs = aside { run(image) }

    /**
     * Returns all outputs for an image.
     *
     * @throws Mnv4Exception if anything goes wrong.
     */
    public fun run(image: PixelSource): Outputs = timed { preprocessor.prepare(image, session.input) }

    /**
     * Returns all outputs for pixels that have the network's size already.
     *
     * @param pixels RGB bytes, row by row.
     * @throws Mnv4Exception if anything goes wrong.
     */
    public fun runPixels(pixels: ByteArray): Outputs = timed { preprocessor.feed(pixels, session.input) }

    @Synchronized
    private fun timed(prepare: () -> Unit): Outputs {
        check(!closed) { "${manifest.id}: is closed" }
        val begin = System.nanoTime()
        prepare()
        val prepared = System.nanoTime()
        val values = session.run()
        lastTimes = Times((prepared - begin) / 1e6, (System.nanoTime() - prepared) / 1e6)
        return Outputs(manifest, values)
    }

    private suspend fun <T> aside(block: () -> T): T =
        suspendCoroutine { continuation ->
            executor.value.execute {
                runCatching(block).fold(continuation::resume, continuation::resumeWithException)
            }
        }

    @Synchronized
    override fun close() {
        if (closed) return
        closed = true
        if (executor.isInitialized()) executor.value.shutdown()
        session.close()
    }

    /** Opens bundles. */
    public companion object {
        /** The folder of the bundles in an app's assets. */
        public const val ASSETS: String = "mnv4"

        /**
         * Opens a bundle from the app's assets.
         *
         * @param threads the number of runtime threads.
         * @throws Mnv4Exception if the bundle cannot be used, or the app lacks its runtime.
         */
        public fun open(
            context: Context,
            model: Mnv4Model,
            threads: Int = defaultThreads(),
        ): MobileNetV4 {
            val files = AssetFiles(context, model)
            val bundle = ModelBundle.open(files)
            return open(bundle, AssetArtifact(context, files, bundle), threads)
        }

        /**
         * Opens a bundle in any folder, for example one that was downloaded.
         *
         * @param threads the number of runtime threads.
         * @throws Mnv4Exception if the bundle cannot be used, or the app lacks its runtime.
         */
        public fun open(
            folder: File,
            threads: Int = defaultThreads(),
        ): MobileNetV4 {
            val bundle = ModelBundle.open(FolderFiles(folder))
            return open(bundle, FileArtifact(File(folder, bundle.manifest.artifactPath)), threads)
        }

        private fun open(
            bundle: ModelBundle,
            artifact: Artifact,
            threads: Int,
        ): MobileNetV4 {
            bundle.checkArtifact()
            val begin = System.nanoTime()
            val session = openSession(bundle, artifact, threads)
            return MobileNetV4(bundle.manifest, session, (System.nanoTime() - begin) / 1e6)
        }

        /** Returns half of the cores, at most four: with more threads, the fast cores wait for the slow ones. */
        private fun defaultThreads(): Int =
            (
                java.lang.Runtime
                    .getRuntime()
                    .availableProcessors() / 2
            ).coerceIn(1, 4)
    }
}
