package io.github.mnv4.core

import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest

/** The files of a bundle, in a folder or in the assets. */
public interface ModelFiles {
    /** The name of the bundle in messages. */
    public val name: String

    /**
     * Opens a file of the bundle.
     *
     * @param path the path relative to the bundle, with slashes.
     * @throws IOException if it does not exist.
     */
    public fun open(path: String): InputStream
}

/** A bundle in a folder, written by `mnv4 build` or downloaded. */
public class FolderFiles(
    /** The bundle's folder. */
    public val folder: File,
) : ModelFiles {
    override val name: String get() = folder.path

    override fun open(path: String): InputStream = File(folder, path).inputStream()
}

/** An artifact with its manifest and golden pairs. */
public class ModelBundle private constructor(
    /** The bundle's files. */
    public val files: ModelFiles,
    /** The bundle's manifest. */
    public val manifest: ModelManifest,
) {
    /**
     * Reads the whole artifact and compares its hash with that of the manifest.
     *
     * @throws Mnv4Exception.BadBundle if it is missing or damaged.
     */
    public fun checkArtifact() {
        val digest = MessageDigest.getInstance("SHA-256")
        var length = 0L
        copyArtifact { bytes, count ->
            digest.update(bytes, 0, count)
            length += count
        }
        check(manifest.artifactPath, digest, manifest.artifactSha256)
        if (length != manifest.artifactBytes) {
            throw Mnv4Exception.BadBundle(
                "${files.name}: ${manifest.artifactPath}: found $length bytes, " +
                    "the manifest says ${manifest.artifactBytes}",
            )
        }
    }

    private fun check(
        path: String,
        digest: MessageDigest,
        wanted: String,
    ) {
        val found = digest.digest().joinToString("") { "%02x".format(it) }
        if (found != wanted) {
            throw Mnv4Exception.BadBundle(
                "${files.name}: $path: damaged: sha256 ${found.take(12)}..., " +
                    "the manifest says ${wanted.take(12)}...",
            )
        }
    }

    /** Passes the artifact's bytes to [take] in parts. */
    internal fun copyArtifact(take: (ByteArray, Int) -> Unit) {
        reading(manifest.artifactPath) { stream ->
            val buffer = ByteArray(1 shl 16)
            while (true) {
                val count = stream.read(buffer)
                if (count < 0) break
                take(buffer, count)
            }
        }
    }

    /**
     * Returns the golden tensors of a source by name, as little-endian bytes.
     *
     * @param source `input`, `eager` or `artifact`.
     * @throws Mnv4Exception.BadBundle if a file is missing or damaged.
     */
    public fun golden(source: String): Map<String, ByteBuffer> =
        manifest.golden.filter { it.source == source }.associate { entry ->
            val bytes = reading(entry.path, InputStream::readBytes)
            val wanted = entry.shape.fold(1, Int::times) * bytesOf(entry.dtype)
            if (bytes.size != wanted) {
                throw Mnv4Exception.BadBundle(
                    "${files.name}: ${entry.path}: found ${bytes.size} bytes, must be $wanted",
                )
            }
            check(entry.path, MessageDigest.getInstance("SHA-256").apply { update(bytes) }, entry.sha256)
            entry.tensor to ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
        }

    private fun <T> reading(
        path: String,
        block: (InputStream) -> T,
    ): T =
        try {
            files.open(path).use(block)
        } catch (error: FileNotFoundException) {
            throw Mnv4Exception.BadBundle("${files.name}: $path: missing", error)
        } catch (error: IOException) {
            throw Mnv4Exception.BadBundle("${files.name}: $path: cannot be read: ${error.message}", error)
        }

    /** Opens bundles. */
    public companion object {
        /**
         * Reads a bundle's manifest; [checkArtifact] reads the artifact.
         *
         * @throws Mnv4Exception.BadBundle if there is no manifest, or it cannot be used.
         */
        public fun open(files: ModelFiles): ModelBundle {
            val text =
                try {
                    files.open("manifest.json").use { it.readBytes().decodeToString() }
                } catch (error: IOException) {
                    throw Mnv4Exception.BadBundle("${files.name}: not a bundle: manifest.json: ${error.message}", error)
                }
            return ModelBundle(files, ModelManifest.parse(text))
        }
    }
}
