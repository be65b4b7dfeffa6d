package io.github.mnv4.app

import android.content.Context
import android.os.Handler
import android.os.Looper
import io.github.mnv4.AssetFiles
import io.github.mnv4.Mnv4Model
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelManifest
import java.util.concurrent.Executors

/** A network in the app's assets. */
internal class Model(
    val id: String,
    /** Null where the bundle cannot be used; [problem] says why. */
    val manifest: ModelManifest?,
    val problem: String?,
)

/** The networks in the app's assets; the one that is chosen is open, once for all screens. */
internal class Models(
    private val context: Context,
) {
    private val settings = context.getSharedPreferences("models", Context.MODE_PRIVATE)
    private val main = Handler(Looper.getMainLooper())
    private val executor = Executors.newSingleThreadExecutor()
    private var open: MobileNetV4? = null

    val all: List<Model> =
        context.assets
            .list(MobileNetV4.ASSETS)
            .orEmpty()
            .map { it.substringBefore('/') } // Robolectric lists the files in the folders
            .distinct()
            .map(::read)

    /** Null where the assets have none. */
    val chosen: Model?
        get() = settings.getString(CHOSEN, null).let { id -> all.firstOrNull { it.id == id } } ?: all.firstOrNull()

    fun choose(model: Model) {
        settings.edit().putString(CHOSEN, model.id).apply()
    }

    private fun read(id: String): Model =
        try {
            Model(id, ModelBundle.open(AssetFiles(context, Mnv4Model(id))).manifest, null)
        } catch (error: Mnv4Exception) {
            Model(id, null, error.message)
        }

    /**
     * Runs [block] on the chosen network, opened before if it is not; for threads in the background.
     *
     * @throws Mnv4Exception it cannot be opened, or what [block] throws.
     */
    @Synchronized
    fun <T> use(block: (MobileNetV4) -> T): T {
        val id = checkNotNull(chosen) { "no model" }.id
        if (open?.manifest?.id != id) {
            release()
            open = MobileNetV4.open(context, Mnv4Model(id))
        }
        return block(checkNotNull(open))
    }

    /** Closes what is open: a benchmark wants the memory and the cores for itself. */
    @Synchronized
    fun release() {
        open?.close()
        open = null
    }

    /** Runs [block] aside, and hands its result to [done] on the main thread. */
    fun <T> ask(
        block: (MobileNetV4) -> T,
        done: (Result<T>) -> Unit,
    ) {
        executor.execute {
            val result =
                try {
                    Result.success(use(block))
                } catch (error: Mnv4Exception) {
                    Result.failure(error)
                }
            main.post { done(result) }
        }
    }

    private companion object {
        const val CHOSEN = "chosen"
    }
}
