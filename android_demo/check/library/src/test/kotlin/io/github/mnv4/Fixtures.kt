package io.github.mnv4

import android.content.Context
import android.content.ContextWrapper
import io.github.mnv4.core.PixelSource
import io.github.mnv4.core.PreprocessSpec
import io.github.mnv4.core.Preprocessor
import io.github.mnv4.core.TensorSpec
import io.github.mnv4.core.uprightHeight
import io.github.mnv4.core.uprightWidth
import org.json.JSONArray
import org.json.JSONObject
import java.io.File
import java.nio.file.Files
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors

/** Bundles, pictures and what Python says of them; made before the tests by tools/android.py. */
object Fixtures {
    val folder: File = File(System.getProperty("mnv4.fixtures")!!)
    val golden: File = File(System.getProperty("mnv4.golden")!!)

    fun json(name: String): JSONObject = JSONObject(File(folder, name).readText())

    /** A context that nothing asks: no network on the CPU that is opened from a folder does. */
    val context: Context = ContextWrapper(null)

    fun bundle(name: String): File = File(folder, "bundles/$name")

    /** A copy of a bundle, to damage. */
    fun copy(name: String): File {
        val copy = Files.createTempDirectory("bundle").toFile()
        copy.deleteOnExit()
        bundle(name).copyRecursively(copy, overwrite = true)
        return copy
    }

    /** Runs [block] on another thread: Robolectric runs tests on the main one. */
    fun <T> aside(block: () -> T): T {
        val executor = Executors.newSingleThreadExecutor()
        try {
            return executor.submit(Callable(block)).get()
        } catch (error: ExecutionException) {
            throw error.cause!!
        } finally {
            executor.shutdown()
        }
    }

    /** The RGB bytes of an upright image of full size, row by row. */
    fun rgb(image: PixelSource): ByteArray {
        val (width, height) = image.uprightWidth to image.uprightHeight
        val spec = PreprocessSpec(height, width, 1.0, "nearest", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))
        val input = TensorSpec("image", "image", listOf(1, height, width, 3), "uint8", "nhwc")
        return Preprocessor(spec, input).resized(image)
    }

    fun JSONArray.objects(): List<JSONObject> = List(length(), ::getJSONObject)

    fun JSONArray.doubles(): DoubleArray = DoubleArray(length(), ::getDouble)

    fun JSONArray.integers(): List<Int> = List(length(), ::getInt)

    fun JSONArray.floats(): List<Float> = doubles().map(Double::toFloat)
}
