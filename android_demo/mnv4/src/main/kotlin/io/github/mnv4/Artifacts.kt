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

/** An artifact in a folder. */
internal class FileArtifact(
    private val file: File,
) : Artifact {
    override fun map(): ByteBuffer =
        RandomAccessFile(file, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }

    override fun file(): File = file
}

/** An artifact in the app's assets. */
internal class AssetArtifact(
    private val context: Context,
    private val files: AssetFiles,
    private val bundle: ModelBundle,
) : Artifact {
    override fun map(): ByteBuffer {
        val path = bundle.manifest.artifactPath
        try {
            return files.assets.openFd("${files.folder}/$path").use { asset ->
                asset.createInputStream().channel.map(
                    FileChannel.MapMode.READ_ONLY,
                    asset.startOffset,
                    asset.declaredLength,
                )
            }
        } catch (error: FileNotFoundException) {
            // The asset exists, because its hash was checked. So it is compressed.
            throw Mnv4Exception.BadBundle(
                "${files.name}/$path: is compressed in the app, so it cannot be mapped; add to the app's " +
                    "build.gradle.kts: android { androidResources { noCompress += \"${File(path).extension}\" } }",
                error,
            )
        }
    }

    /** Extracts the artifact once, to a name with its hash, and deletes what an older version of the app extracted. */
    override fun file(): File {
        val manifest = bundle.manifest
        val folder = File(context.noBackupFilesDir, files.folder)
        val file = File(folder, "${manifest.artifactSha256}.${File(manifest.artifactPath).extension}")
        if (file.length() == manifest.artifactBytes) return file
        val part = File(folder, "${file.name}.${System.nanoTime()}")
        try {
            folder.mkdirs()
            part.outputStream().use { out ->
                bundle.copyArtifact { bytes, count -> out.write(bytes, 0, count) }
                out.fd.sync()
            }
            if (!part.renameTo(file)) throw IOException("cannot be renamed to $file")
        } catch (error: IOException) {
            throw Mnv4Exception.BadBundle("${files.name}: cannot be extracted to $folder: ${error.message}", error)
        } finally {
            part.delete()
        }
        folder.listFiles { other -> other.extension == file.extension && other != file }?.forEach(File::delete)
        return file
    }
}
