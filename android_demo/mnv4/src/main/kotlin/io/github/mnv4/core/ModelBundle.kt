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
     * Returns the same bundle at one of its input sizes, by default at its own.
     *
     * @throws Mnv4Exception.Unsupported if the artifact does not take the size.
     */
    internal fun at(size: InputSize?): ModelBundle = ModelBundle(files, manifest.at(size))

    /**
     * Reads the whole artifact and compares its hash with that of the manifest.
     *
     * @throws Mnv4Exception.BadBundle if it is missing or damaged.
     */
    @Throws(Mnv4Exception::class)
    public fun checkArtifact(): Unit = copyArtifact { _, _ -> }

    /** Does the same for an artifact in memory. */
    internal fun checkArtifact(bytes: ByteBuffer) {
        checkLength(bytes.limit().toLong())
        check(manifest.artifactPath, sha256(bytes), manifest.artifactSha256)
    }

    /** Returns whether [bytes] are those of the artifact. */
    internal fun isArtifact(bytes: ByteBuffer): Boolean =
        bytes.limit().toLong() == manifest.artifactBytes && sha256(bytes) == manifest.artifactSha256

    /** Passes the artifact's bytes to [take] in parts, and checks them at the end. */
    internal fun copyArtifact(take: (ByteArray, Int) -> Unit) {
        val digest = MessageDigest.getInstance("SHA-256")
        val path = manifest.artifactPath
        var length = 0L
        reading(path) { files.open(path) }.use { stream ->
            val buffer = ByteArray(1 shl 16)
            while (true) {
                val count = reading(path) { stream.read(buffer) }
                if (count < 0) break
                digest.update(buffer, 0, count)
                length += count
                take(buffer, count)
            }
        }
        checkLength(length)
        check(path, digest.hex(), manifest.artifactSha256)
    }

    private fun checkLength(found: Long) {
        if (found != manifest.artifactBytes) {
            throw Mnv4Exception.BadBundle(
                "${files.name}: ${manifest.artifactPath}: found $found bytes, " +
                    "the manifest says ${manifest.artifactBytes}; $RENEW",
            )
        }
    }

    private fun check(
        path: String,
        found: String,
        wanted: String,
    ) {
        if (found != wanted) {
            throw Mnv4Exception.BadBundle(
                "${files.name}: $path: damaged: sha256 ${found.take(12)}..., " +
                    "the manifest says ${wanted.take(12)}...; $RENEW",
            )
        }
    }

    private fun sha256(bytes: ByteBuffer): String =
        MessageDigest.getInstance("SHA-256").apply { update(bytes.duplicate()) }.hex()

    private fun MessageDigest.hex(): String = digest().joinToString("") { "%02x".format(it) }

    /**
     * Returns the golden tensors of a source by name, as little-endian bytes.
     *
     * @param source `input`, `eager` or `artifact`.
     * @throws Mnv4Exception.BadBundle if a file is missing or damaged.
     */
    public fun golden(source: String): Map<String, ByteBuffer> =
        manifest.golden.filter { it.source == source }.associate { entry ->
            val bytes = reading(entry.path) { files.open(entry.path).use(InputStream::readBytes) }
            val wanted = entry.shape.fold(1, Int::times) * bytesOf(entry.dtype)
            if (bytes.size != wanted) {
                throw Mnv4Exception.BadBundle(
                    "${files.name}: ${entry.path}: found ${bytes.size} bytes, must be $wanted",
                )
            }
            val tensor = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
            check(entry.path, sha256(tensor), entry.sha256)
            entry.tensor to tensor
        }

    /** Runs [block], which reads a file, the artifact by default, and says which one if it fails. */
    internal fun <T> reading(
        path: String = manifest.artifactPath,
        block: () -> T,
    ): T =
        try {
            block()
        } catch (error: FileNotFoundException) {
            throw Mnv4Exception.BadBundle("${files.name}: $path: missing; $RENEW", error)
        } catch (error: IOException) {
            throw Mnv4Exception.BadBundle("${files.name}: $path: cannot be read: ${error.message}", error)
        }

    /** Opens bundles. */
    public companion object {
        private const val RENEW = "copy the bundle again, or write the models module again with mnv4 sdk android"

        /**
         * Reads a bundle's manifest; [checkArtifact] reads the artifact.
         *
         * @throws Mnv4Exception.BadBundle if there is no manifest, or it cannot be used.
         */
        @JvmStatic
        @Throws(Mnv4Exception::class)
        public fun open(files: ModelFiles): ModelBundle {
            val text =
                try {
                    files.open("manifest.json").use { it.readBytes().decodeToString() }
                } catch (error: IOException) {
                    throw Mnv4Exception.BadBundle(
                        "${files.name}: not a bundle: manifest.json cannot be read: ${error.message}; $RENEW",
                        error,
                    )
                }
            return ModelBundle(files, ModelManifest.parse(text, "${files.name}/manifest.json"))
        }
    }
}
