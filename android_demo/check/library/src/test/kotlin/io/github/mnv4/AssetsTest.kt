package io.github.mnv4

import android.app.Application
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.core.ModelFiles
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import java.io.File
import java.io.FilterInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.attribute.BasicFileAttributes
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.concurrent.atomic.AtomicLong
import kotlin.concurrent.thread

/** Bundles in an app's assets: a package that aapt2 linked, with .tflite uncompressed and .pte not. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 34, 35], application = Application::class)
class AssetsTest {
    private val context = RuntimeEnvironment.getApplication()
    private val mapped = Mnv4Model("conv-small-035-96x96-fp32-tflite")
    private val program = Mnv4Model("conv-small-035-96x96-fp32-executorch")
    private val source = Fixtures.bundle(program.folder).resolve("conv-small-035-96x96-fp32.pte").readBytes()
    private val root = File(context.noBackupFilesDir, "mnv4")

    /** Counts the bytes that are read of a bundle, and fails after [most]. */
    private class Counting(
        private val files: ModelFiles,
        private val most: Long = Long.MAX_VALUE,
    ) : ModelFiles by files {
        val count = AtomicLong()

        override fun open(path: String): InputStream {
            if (path == "manifest.json") return files.open(path)
            return object : FilterInputStream(files.open(path)) {
                override fun read(
                    into: ByteArray,
                    offset: Int,
                    length: Int,
                ): Int {
                    if (count.get() > most) throw IOException("the storage was removed")
                    return super.read(into, offset, length).also { count.addAndGet(it.coerceAtLeast(0).toLong()) }
                }
            }
        }
    }

    private fun artifact(
        model: Mnv4Model,
        files: ModelFiles = AssetFiles(context, model),
    ) = AssetArtifact(context, AssetFiles(context, model), ModelBundle.open(files))

    private fun key(file: File): Any =
        Files.readAttributes(file.toPath(), BasicFileAttributes::class.java).let { it.fileKey() to it.creationTime() }

    private fun update() {
        val about = shadowOf(context.packageManager).getInternalMutablePackageInfo(context.packageName)
        about.lastUpdateTime += 1_000_000
    }

    private inline fun <reified E : Throwable> message(crossinline block: () -> Unit): String =
        assertThrows(E::class.java) { block() }.message!!

    private fun edited(
        model: Mnv4Model,
        change: JSONObject.() -> Unit,
    ): ModelFiles {
        val folder = Fixtures.copy(model.folder)
        val file = File(folder, "manifest.json")
        file.writeText(JSONObject(file.readText()).apply(change).toString())
        return FolderFiles(folder)
    }

    @Test
    fun `an uncompressed artifact is mapped and runs`() {
        aside { MobileNetV4.open(context, mapped) }.use { model ->
            assertEquals(10, model.runPixels(ByteArray(96 * 96 * 3)).probabilities!!.size)
        }
    }

    @Test
    fun `a compressed one cannot be mapped, and the message is the line to add`() {
        val message = message<Mnv4Exception.BadBundle> { artifact(program).map() }
        assertTrue(message, "noCompress += \"pte\"" in message)
    }

    @Test
    fun `a program is read and extracted once, under its hash`() {
        val files = Counting(AssetFiles(context, program))
        val file = artifact(program, files).file()
        assertArrayEquals(source, file.readBytes())
        assertEquals(ModelBundle.open(files).manifest.artifactSha256, file.nameWithoutExtension)
        val key = key(file)
        assertEquals(file, artifact(program, files).file())
        assertEquals(key, key(file))
        assertEquals("bytes read by two openings", source.size.toLong(), files.count.get())
    }

    @Test
    fun `a model of 40 MB is read once`() {
        val bytes = ByteArray(40_000_000) { (it * 31 % 251).toByte() }
        val digest =
            java.security.MessageDigest
                .getInstance("SHA-256")
                .digest(bytes)
        val files =
            edited(program) {
                getJSONObject("artifact")
                    .put("bytes", bytes.size)
                    .put("sha256", digest.joinToString("") { "%02x".format(it) })
            }
        val folder = (files as FolderFiles).folder
        File(folder, "conv-small-035-96x96-fp32.pte").writeBytes(bytes)
        val asset = Counting(files)
        assertEquals(bytes.size.toLong(), artifact(program, asset).file().length())
        assertEquals(bytes.size.toLong(), asset.count.get())
        val downloaded = Counting(files)
        FileArtifact(ModelBundle.open(downloaded), folder).file()
        assertEquals(bytes.size.toLong(), downloaded.count.get())
        val streamed = Counting(files)
        FileArtifact(ModelBundle.open(streamed), folder).map()
        assertEquals("a mapped one needs no stream", 0, streamed.count.get())
        folder.deleteRecursively()
    }

    @Test
    fun `wrong content of the right length is found`() {
        val file = artifact(program).file()
        file.writeBytes(ByteArray(source.size))
        assertArrayEquals(source, artifact(program).file().readBytes())
        file.writeBytes(ByteArray(3))
        assertArrayEquals(source, artifact(program).file().readBytes())
    }

    @Test
    fun `an update of the app checks the program again and keeps it`() {
        val file = artifact(program).file()
        val key = key(file)
        update()
        val files = Counting(AssetFiles(context, program))
        assertEquals(key, key(artifact(program, files).file()))
        assertEquals("bytes read of the asset", 0, files.count.get())
        file.writeBytes(ByteArray(source.size))
        update()
        assertArrayEquals(source, artifact(program).file().readBytes())
    }

    @Test
    fun `a killed extraction, an older version and removed models leave nothing`() {
        val manifest = ModelBundle.open(AssetFiles(context, program)).manifest
        val folder = File(root, program.folder).apply { mkdirs() }
        File(folder, "${manifest.artifactSha256}.pte.part").writeBytes(source.copyOf(source.size / 2))
        File(folder, "0123.pte").writeBytes(ByteArray(3))
        File(root, "removed/0123.pte").apply { parentFile!!.mkdirs() }.writeBytes(ByteArray(3))
        val other = File(root, "${mapped.folder}/kept").apply { parentFile!!.mkdirs() }
        other.writeBytes(ByteArray(3))
        val file = artifact(program).file()
        assertArrayEquals(source, file.readBytes())
        assertEquals(listOf(file.name), folder.list()!!.toList())
        assertFalse(File(root, "removed").exists())
        assertTrue("a model that is in the app", other.exists())
    }

    /** Holds the lock with half of the program extracted, until it is killed. */
    private fun otherProcess(part: File): Process {
        val code = File.createTempFile("Extracts", ".java")
        code.deleteOnExit()
        code.writeText(
            """
            class Extracts {
                public static void main(String[] files) throws Exception {
                    var lock = new java.io.RandomAccessFile(files[0], "rw").getChannel().lock();
                    java.nio.file.Files.write(java.nio.file.Path.of(files[1]), new byte[1000]);
                    System.out.println("half");
                    Thread.sleep(600_000);
                }
            }
            """.trimIndent(),
        )
        val java = File(System.getProperty("java.home"), "bin/java").path
        val builder = ProcessBuilder(java, code.path, File(root, ".lock").path, part.path)
        builder.environment() -= listOf("LD_PRELOAD", "LD_LIBRARY_PATH")
        return builder.start()
    }

    @Test
    fun `a process that extracts is waited for, and may be killed meanwhile`() {
        val sha256 = ModelBundle.open(AssetFiles(context, program)).manifest.artifactSha256
        val part = File(root, "${program.folder}/$sha256.pte.part")
        part.parentFile!!.mkdirs()
        val process = otherProcess(part)
        try {
            assertEquals("half", process.inputStream.bufferedReader().readLine())
            val opening = CompletableFuture.supplyAsync { artifact(program).file() }
            assertThrows(TimeoutException::class.java) { opening.get(300, TimeUnit.MILLISECONDS) }
            process.destroyForcibly()
            val file = opening.get(1, TimeUnit.MINUTES)
            assertArrayEquals(source, file.readBytes())
            assertEquals(listOf(file.name), part.parentFile!!.list()!!.toList())
        } finally {
            process.destroyForcibly()
        }
    }

    @Test
    fun `a failed extraction leaves nothing`() {
        val files = Counting(AssetFiles(context, program), most = 1000)
        val message = message<Mnv4Exception.BadBundle> { artifact(program, files).file() }
        assertTrue(message, "conv-small-035-96x96-fp32.pte: cannot be read: the storage was removed" in message)
        assertEquals(emptyList<String>(), File(root, program.folder).list()!!.toList())
        assertArrayEquals(source, artifact(program).file().readBytes())
    }

    @Test
    fun `eight openings at once extract once`() {
        val files = Counting(AssetFiles(context, program))
        val failures = java.util.Collections.synchronizedList(ArrayList<Throwable>())
        val openings =
            List(8) {
                thread {
                    runCatching { assertArrayEquals(source, artifact(program, files).file().readBytes()) }
                        .onFailure(failures::add)
                }
            }
        openings.forEach(Thread::join)
        assertEquals(emptyList<Throwable>(), failures)
        assertEquals(source.size.toLong(), files.count.get())
    }

    @Test
    fun `two networks open at once`() {
        for (model in listOf(program, mapped)) {
            val networks = arrayOfNulls<MobileNetV4>(2)
            networks.indices
                .map { i ->
                    thread { networks[i] = MobileNetV4.open(context, model) }
                }.forEach(Thread::join)
            val outputs = networks.map { it!!.runPixels(ByteArray(96 * 96 * 3)).probabilities }
            assertArrayEquals(outputs[0], outputs[1], 0f)
            networks.forEach { it!!.close() }
        }
    }

    @Test
    fun `a mapped artifact is checked once for an installation`() {
        val wrong = "0".repeat(64)
        val files = edited(mapped) { getJSONObject("artifact").put("sha256", wrong) }
        val message = message<Mnv4Exception.BadBundle> { artifact(mapped, files).map() }
        assertTrue(message, "damaged: sha256" in message && "mnv4 sdk android" in message)
        artifact(mapped).map()
        val stamp = File(root, mapped.folder).listFiles()!!.single()
        stamp.renameTo(File(stamp.parentFile, "$wrong.checked"))
        artifact(mapped, files).map() // as it was checked
        update()
        message<Mnv4Exception.BadBundle> { artifact(mapped, files).map() }
    }

    @Test
    fun `a mapped artifact needs no storage`() {
        root.writeText("in the way")
        try {
            assertNotEquals(0, artifact(mapped).map().limit())
        } finally {
            root.delete()
        }
    }

    @Test
    fun `assets that are missing`() {
        val bundle =
            message<Mnv4Exception.BadBundle> { aside { MobileNetV4.open(context, Mnv4Model("nothing")) } }
        assertTrue(bundle, "assets/mnv4/nothing: not a bundle" in bundle && "mnv4 sdk android" in bundle)
        for (model in listOf(program, mapped)) {
            val files = edited(model) { getJSONObject("artifact").put("path", "gone.bin") }
            val artifact = artifact(model, Gone(files))
            val message = message<Mnv4Exception.BadBundle> { if (model == program) artifact.file() else artifact.map() }
            assertTrue(message, "gone.bin: missing; copy the bundle again" in message)
        }
    }

    /** Has no other file than the manifest. */
    private class Gone(
        private val files: ModelFiles,
    ) : ModelFiles by files {
        override fun open(path: String): InputStream =
            if (path == "manifest.json") files.open(path) else File("/nowhere").inputStream()
    }

    @Test
    fun `no space to extract to`() {
        val manifest = ModelBundle.open(AssetFiles(context, program)).manifest
        val part = File(root, "${program.folder}/${manifest.artifactSha256}.pte.part")
        part.parentFile!!.mkdirs()
        Files.createSymbolicLink(part.toPath(), File("/dev/full").toPath())
        val full = message<Mnv4Exception.Storage> { artifact(program).file() }
        assertTrue(full, "No space left" in full && "free storage space" in full && "${source.size} bytes" in full)
        assertEquals(emptyList<String>(), part.parentFile!!.list()!!.toList())
        root.deleteRecursively()
        root.writeText("in the way")
        val message = message<Mnv4Exception.Storage> { artifact(program).file() }
        assertTrue(message, "cannot be extracted" in message)
        root.delete()
    }
}
