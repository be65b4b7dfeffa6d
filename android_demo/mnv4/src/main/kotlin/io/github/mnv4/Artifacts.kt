package io.github.mnv4

import android.content.Context
import android.content.res.AssetManager
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelFiles
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** A bundle in the app's assets. */
public class AssetFiles internal constructor(
    internal val assets: AssetManager,
    internal val folder: String,
) : ModelFiles {
    /** Opens a bundle that `Mnv4Models` lists, or another one in the same folder. */
    public constructor(
        context: Context,
        model: Mnv4Model,
    ) : this(context.assets, "${MobileNetV4.ASSETS}/${model.folder}")

    override val name: String get() = "assets/$folder"

    override fun open(path: String): InputStream = assets.open("$folder/$path")
}

private fun mapped(file: File): ByteBuffer =
    RandomAccessFile(file, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }

/** An artifact in a folder. It is checked at every opening, because the folder may change at any time. */
internal class FileArtifact(
    private val bundle: ModelBundle,
    folder: File,
) : Artifact {
    private val file = File(folder, bundle.manifest.artifactPath)

    override fun map(): ByteBuffer = bundle.reading { mapped(file) }.also(bundle::checkArtifact)

    override fun file(): File = file.also { bundle.checkArtifact() }
}

/**
 * An artifact in the app's assets. It is checked once after each installation of the app: then a file gets the
 * time of the installation, which it loses if anything writes to it.
 */
internal class AssetArtifact(
    private val context: Context,
    private val files: AssetFiles,
    private val bundle: ModelBundle,
) : Artifact {
    private val manifest = bundle.manifest
    private val root = File(context.noBackupFilesDir, MobileNetV4.ASSETS)
    private val folder = File(context.noBackupFilesDir, files.folder)
    private val installed =
        context.packageManager
            .getPackageInfo(context.packageName, 0)
            .lastUpdateTime

    override fun map(): ByteBuffer {
        val found = asset()
        val stamp = File(folder, "${manifest.artifactSha256}.checked")
        if (!isChecked(stamp)) {
            bundle.checkArtifact(found)
            try {
                locked {
                    stamp.createNewFile()
                    finish(stamp)
                }
            } catch (_: IOException) {
                // Without storage, the next opening checks again.
            }
        }
        return found
    }

    private fun asset(): ByteBuffer {
        val path = manifest.artifactPath
        try {
            return files.assets.openFd("${files.folder}/$path").use { asset ->
                asset.createInputStream().channel.map(
                    FileChannel.MapMode.READ_ONLY,
                    asset.startOffset,
                    asset.declaredLength,
                )
            }
        } catch (error: FileNotFoundException) {
            bundle.reading { files.open(path).close() } // fails if it is missing, not compressed
            throw Mnv4Exception.BadBundle(
                "${files.name}/$path: is compressed in the app, so it cannot be mapped; add to the app's " +
                    "build.gradle.kts: android { androidResources { noCompress += \"${File(path).extension}\" } }",
                error,
            )
        }
    }

    /** Extracts the artifact once, to a name with its hash. */
    override fun file(): File {
        val file = File(folder, "${manifest.artifactSha256}.${File(manifest.artifactPath).extension}")
        try {
            if (!isChecked(file)) {
                locked {
                    // Another thread or process may have had the lock.
                    if (!isChecked(file)) {
                        if (!file.isFile || !bundle.isArtifact(mapped(file))) extract(file)
                        finish(file)
                    }
                }
            }
        } catch (error: IOException) {
            throw Mnv4Exception.Storage(
                "${files.name}: cannot be extracted to $folder: ${error.message}; it needs ${manifest.artifactBytes} " +
                    "bytes, ${context.noBackupFilesDir.usableSpace} are free: free storage space, and open it again",
                error,
            )
        }
        return file
    }

    private fun extract(file: File) {
        val part = File(folder, "${file.name}.part")
        try {
            part.outputStream().use { out ->
                bundle.copyArtifact { bytes, count -> out.write(bytes, 0, count) }
                out.fd.sync()
            }
            if (!part.renameTo(file)) throw IOException("$part cannot be renamed")
        } finally {
            part.delete()
        }
    }

    private fun isChecked(file: File) = file.isFile && file.lastModified() == installed

    /** Marks a file as checked; deletes what killed extractions, older versions and removed models have left. */
    private fun finish(file: File) {
        file.setLastModified(installed)
        // A runtime for the CPU maps the asset, and one for other units takes a file.
        val kept = listOf("checked", File(manifest.artifactPath).extension).map { "${manifest.artifactSha256}.$it" }
        folder.listFiles { other -> other.name !in kept }.orEmpty().forEach(File::delete)
        for (model in root.listFiles(File::isDirectory).orEmpty()) {
            try {
                files.assets.open("${MobileNetV4.ASSETS}/${model.name}/manifest.json").close()
            } catch (_: FileNotFoundException) {
                model.deleteRecursively()
            }
        }
    }

    /** Runs [block] while no other thread or process of the app changes the folder. */
    private fun locked(block: () -> Unit) =
        synchronized(LOCK) {
            if (!folder.isDirectory && !folder.mkdirs()) throw IOException("the folder cannot be made")
            RandomAccessFile(File(root, ".lock"), "rw").use { lock -> lock.channel.lock().use { block() } }
        }

    private companion object {
        val LOCK = Any()
    }
}
