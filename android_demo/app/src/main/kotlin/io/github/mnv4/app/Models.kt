package io.github.mnv4.app

import android.content.Context
import io.github.mnv4.AssetFiles
import io.github.mnv4.Mnv4Model
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelManifest
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

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
    private val turn = Mutex()
    private var network: MobileNetV4? = null

    /** What [network] was opened from. */
    private var opened: Model? = null

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
     * Runs [block] with the chosen network, which is opened first if it is not. One caller has it at a time.
     *
     * @throws Mnv4Exception if it cannot be opened, or what [block] throws.
     */
    suspend fun <T> use(block: suspend (MobileNetV4) -> T): T =
        turn.withLock {
            val model = checkNotNull(chosen) { "no model" }
            if (opened !== model) {
                close()
                withContext(Dispatchers.IO) { network = MobileNetV4.open(context, Mnv4Model(model.id)) }
                opened = model
            }
            block(checkNotNull(network))
        }

    /** Runs [block] while no network is open: a benchmark wants the memory and the cores for itself. */
    suspend fun <T> alone(block: suspend () -> T): T =
        turn.withLock {
            close()
            block()
        }

    private fun close() {
        network?.close()
        network = null
        opened = null
    }

    private companion object {
        const val CHOSEN = "chosen"
    }
}
