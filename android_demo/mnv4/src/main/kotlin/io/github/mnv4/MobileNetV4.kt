package io.github.mnv4

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import android.os.Looper
import io.github.mnv4.core.Classification
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Golden
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.Mnv4Internal
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelManifest
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.Preprocessor
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import java.io.File
import java.nio.ByteBuffer

/** A bundle in the app's assets; the generated `Mnv4Models` lists all of them. */
public data class Mnv4Model
    @JvmOverloads
    constructor(
        /** The bundle's folder in `assets/mnv4/`. A module has its name and a dot in front of the bundles' ids. */
        public val folder: String,
        /** The folders of the same network compiled for the NPUs of SoCs, by `Build.SOC_MODEL`. */
        public val compiled: Map<String, String> = emptyMap(),
    )

/**
 * A network that is loaded and ready.
 *
 * Any coroutine or thread may call it; calls run one at a time. To run several at once, open several
 * networks. The buffers of the input and of the resizing are kept from call to call.
 *
 * Functions that suspend work on `Dispatchers.Default`. Cancelling them skips the steps that have not begun;
 * they return after the step that is under way, so the image is no longer read then.
 */
public class MobileNetV4 private constructor(
    chosen: Chosen,
) : AutoCloseable {
    private val bundle = chosen.candidate.bundle
    private val session = chosen.loaded.session

    /** How long the runtime took to load the artifact, in milliseconds, without checking and extracting it. */
    public val loadMs: Double = chosen.loaded.ms

    /** The unit that runs it, and why the others do not. */
    public val choice: Choice = chosen.choice

    /** The manifest of the bundle that it was opened from, at the input size that it runs. */
    public val manifest: ModelManifest = bundle.manifest

    private val preprocessor = Preprocessor(manifest.preprocess, manifest.input)

    // Coroutines wait for their turn without a thread; the lock is for threads that call on their own.
    private val turn = Mutex()
    private var closed = false

    /**
     * The runtime as it names itself: `tflite 2.16.1`, or `executorch (XnnpackBackend)` with the backends that the
     * program uses.
     */
    public val runtime: String = session.runtime

    /**
     * Returns the most probable classes of a bitmap.
     *
     * @throws Mnv4Exception if anything goes wrong.
     * @throws IllegalStateException if the network is closed.
     */
    public suspend fun classify(
        bitmap: Bitmap,
        top: Int = 5,
    ): List<Classification> = outputs { Images.of(bitmap) }.top(top)

    /**
     * Returns the most probable classes of a camera frame (`YUV_420_888`), read within its `cropRect`.
     *
     * @param rotationDegrees by how much the frame is turned clockwise to be upright.
     * @throws Mnv4Exception if anything goes wrong.
     * @throws IllegalStateException if the network is closed.
     */
    public suspend fun classify(
        frame: Image,
        rotationDegrees: Int,
        top: Int = 5,
    ): List<Classification> = outputs { Images.of(frame, rotationDegrees) }.top(top)

    /**
     * Returns all outputs for an image.
     *
     * @throws Mnv4Exception if anything goes wrong.
     * @throws IllegalStateException if the network is closed.
     */
    public suspend fun run(image: PixelSource): Outputs = outputs { image }

    /**
     * Returns the outputs for a camera's frames: always for the latest one when the network is free.
     *
     * Each frame is closed: after it was read, or as soon as a later one replaces it.
     *
     * @param frames the frames, for example from a `callbackFlow` around an `ImageReader`.
     * @param image returns a frame's pixels, as in `{ Images.of(it, rotationDegrees) }`.
     */
    public fun <F : AutoCloseable> frames(
        frames: Flow<F>,
        image: (F) -> PixelSource,
    ): Flow<Outputs> =
        flow {
            coroutineScope {
                val latest = Channel<F>(Channel.CONFLATED) { it.close() }
                launch {
                    frames.collect { latest.send(it) }
                    latest.close()
                }
                try {
                    for (frame in latest) emit(frame.use { outputs { image(frame) } })
                } finally {
                    latest.cancel()
                }
            }
        }

    /** Does what [classify] does, on the calling thread. */
    @JvmOverloads
    @Throws(Mnv4Exception::class)
    public fun classifyBlocking(
        bitmap: Bitmap,
        top: Int = 5,
    ): List<Classification> = read { Images.of(bitmap) }.top(top)

    /** Does what [classify] does, on the calling thread. */
    @JvmOverloads
    @Throws(Mnv4Exception::class)
    public fun classifyBlocking(
        frame: Image,
        rotationDegrees: Int,
        top: Int = 5,
    ): List<Classification> = read { Images.of(frame, rotationDegrees) }.top(top)

    /** Does what [run] does, on the calling thread. */
    @Throws(Mnv4Exception::class)
    public fun runBlocking(image: PixelSource): Outputs = read { image }

    /**
     * Returns all outputs for pixels that have the network's size already, on the calling thread.
     *
     * @param pixels RGB bytes, row by row.
     */
    @Mnv4Internal
    public fun runPixels(pixels: ByteArray): Outputs = timed { preprocessor.feed(pixels, session.input) }

    /**
     * Runs the bundle's golden images and compares the outputs with the float model's, on the calling thread.
     *
     * @return the signal to quantization noise ratio of the worst output in dB.
     * @throws Mnv4Exception.WrongOutput if it is less than the bundle demands.
     * @throws Mnv4Exception if anything else goes wrong.
     */
    @Throws(Mnv4Exception::class)
    public fun selfCheck(): Double = Golden(bundle).check { runPixels(it).byName }

    private suspend fun outputs(image: () -> PixelSource): Outputs =
        turn.withLock { withContext(Dispatchers.Default) { read(::ensureActive, image) } }

    private fun read(
        proceed: () -> Unit = {},
        image: () -> PixelSource,
    ): Outputs =
        timed {
            preprocessor.prepare(image(), session.input)
            proceed()
        }

    @Synchronized
    private fun timed(prepare: () -> Unit): Outputs {
        check(!closed) { "${manifest.id}: the network is closed; open it again with MobileNetV4.open" }
        val begin = System.nanoTime()
        prepare()
        val prepared = System.nanoTime()
        val values = session.run()
        val times = Outputs.Times((prepared - begin) / 1e6, (System.nanoTime() - prepared) / 1e6)
        return Outputs(manifest, values, times)
    }

    /** Releases the runtime's memory, after the call that is running. Calls after it throw [IllegalStateException]. */
    @Synchronized
    override fun close() {
        if (closed) return
        closed = true
        session.close()
    }

    /** Opens bundles. */
    public companion object {
        /** The folder of the bundles in an app's assets. */
        public const val ASSETS: String = "mnv4"

        /**
         * Opens a bundle from the app's assets. It blocks, so don't call it on the main thread.
         *
         * @throws Mnv4Exception if the bundle cannot be used, or the app lacks its runtime.
         * @throws IllegalStateException on the main thread.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(Mnv4Exception::class)
        public fun open(
            context: Context,
            model: Mnv4Model,
            options: Options = Options(),
        ): MobileNetV4 {
            refuseMainThread()
            val plain = assetSource(context, model.folder, options)
            // What was compiled for an NPU has the default size alone.
            val fits = options.accelerator in NPU && !plain.bundle.manifest.resized
            val compiled = if (fits) model.compiled[socModel()] else null
            val sources = listOf(plain) + listOfNotNull(compiled).map { assetSource(context, it, options) }
            return open(context, sources, options)
        }

        /**
         * Opens a bundle in any folder, for example one that was downloaded. It blocks, so don't call it on
         * the main thread.
         *
         * @throws Mnv4Exception if the bundle cannot be used, or the app lacks its runtime.
         * @throws IllegalStateException on the main thread.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(Mnv4Exception::class)
        public fun open(
            context: Context,
            folder: File,
            options: Options = Options(),
        ): MobileNetV4 {
            refuseMainThread()
            val bundle = ModelBundle.open(FolderFiles(folder)).at(options.inputSize)
            return open(context, listOf(Source(bundle, FileArtifact(bundle, folder))), options)
        }

        private fun assetSource(
            context: Context,
            folder: String,
            options: Options,
        ): Source {
            val files = AssetFiles(context, Mnv4Model(folder))
            val bundle = ModelBundle.open(files).at(options.inputSize)
            return Source(bundle, AssetArtifact(context, files, bundle))
        }

        /** @param sources the bundle for all units; if there is a second one, it is for the NPU. */
        private fun open(
            context: Context,
            sources: List<Source>,
            options: Options,
        ): MobileNetV4 {
            val candidates =
                UNITS.map { unit ->
                    val source = if (unit == Accelerator.Npu) sources.last() else sources.first()
                    Candidate(unit, source.bundle) { source.load(context, unit, options.threads) }
                }
            val chosen =
                if (options.accelerator == Accelerator.Auto) {
                    val memory = Memory.of(context, sources.map { it.bundle.manifest }, options.threads)
                    Chooser(memory).choose(candidates)
                } else {
                    val candidate = candidates.first { it.unit == options.accelerator }
                    Chosen(candidate, candidate.load(), Choice(candidate.unit, emptyList(), remembered = false))
                }
            val session = chosen.loaded.session
            var works = false
            try {
                if (options.warmUp) session.run()
                return MobileNetV4(chosen).also { works = true }
            } finally {
                if (!works) session.close()
            }
        }

        private val NPU = setOf(Accelerator.Npu, Accelerator.Auto)

        private fun refuseMainThread() =
            check(Looper.getMainLooper()?.isCurrentThread != true) {
                "MobileNetV4.open: called on the main thread, which it would block; call it in " +
                    "withContext(Dispatchers.IO) { ... } or on a thread of your own"
            }
    }
}

/** A bundle, and its artifact. */
private class Source(
    val bundle: ModelBundle,
    private val artifact: Artifact,
) {
    fun load(
        context: Context,
        unit: Accelerator,
        threads: Int,
    ): Loaded {
        val provided = Provided(artifact)
        val begin = System.nanoTime()
        val session = openSession(context, bundle, provided, unit, threads)
        return Loaded(session, (System.nanoTime() - begin - provided.nanos) / 1e6)
    }
}

/** Counts how long an artifact takes to be checked and extracted. */
private class Provided(
    private val artifact: Artifact,
) : Artifact {
    var nanos = 0L

    override fun map(): ByteBuffer = timed(artifact::map)

    override fun file(): File = timed(artifact::file)

    private fun <T> timed(block: () -> T): T {
        val begin = System.nanoTime()
        return block().also { nanos += System.nanoTime() - begin }
    }
}
