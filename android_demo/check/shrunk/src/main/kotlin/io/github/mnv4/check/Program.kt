@file:OptIn(Mnv4Internal::class)

package io.github.mnv4.check

import android.content.ContextWrapper
import io.github.mnv4.Accelerator
import io.github.mnv4.Artifact
import io.github.mnv4.RuntimeProvider
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Mnv4Internal
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.Preprocessor
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.util.ServiceLoader
import kotlin.system.exitProcess

/** Runs each bundle on its first golden image, and prints its runtime and its first output. */
public fun main(folders: Array<String>) {
    for (folder in folders) {
        val bundle = ModelBundle.open(FolderFiles(File(folder)))
        val manifest = bundle.manifest
        val file = File(folder, manifest.artifactPath)
        val provider =
            ServiceLoader.load(RuntimeProvider::class.java, RuntimeProvider::class.java.classLoader).first {
                manifest.target in it.units
            }
        provider.open(ContextWrapper(null), manifest, FileOnDisk(file), Accelerator.Cpu, 1).use { session ->
            val pixels = ByteArray(manifest.preprocess.height * manifest.preprocess.width * 3)
            bundle.golden("input").getValue("pixels").get(pixels)
            Preprocessor(manifest.preprocess, manifest.input).feed(pixels, session.input)
            println("ran ${session.runtime}: ${session.run().first().joinToString(" ")}")
        }
    }
    exitProcess(0) // a thread of fbjni does not end
}

private class FileOnDisk(
    private val file: File,
) : Artifact {
    override fun map(): ByteBuffer =
        RandomAccessFile(file, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }

    override fun file(): File = file
}
