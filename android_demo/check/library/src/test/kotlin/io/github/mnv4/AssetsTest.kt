package io.github.mnv4

import android.app.Application
import io.github.mnv4.Fixtures.aside
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import java.io.File

/** Bundles in an app's assets: a package that aapt2 linked, with .tflite uncompressed and .pte not. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class AssetsTest {
    private val context = RuntimeEnvironment.getApplication()
    private val program = Mnv4Model("conv-small-035-96x96-fp32-executorch")

    private fun artifact(model: Mnv4Model): AssetArtifact {
        val files = AssetFiles(context, model)
        return AssetArtifact(context, files, ModelBundle.open(files))
    }

    @Test
    fun `an uncompressed artifact is mapped and runs`() {
        aside { MobileNetV4.open(context, Mnv4Model("conv-small-035-96x96-fp32-tflite")) }.use { model ->
            assertEquals(10, model.runPixels(ByteArray(96 * 96 * 3)).probabilities!!.size)
        }
    }

    @Test
    fun `a compressed one cannot be mapped, and the message is the line to add`() {
        val error = assertThrows(Mnv4Exception.BadBundle::class.java) { artifact(program).map() }
        assertTrue(error.message, "noCompress += \"pte\"" in error.message!!)
    }

    @Test
    fun `a program is extracted once, under its hash`() {
        val source = Fixtures.bundle(program.folder).resolve("conv-small-035-96x96-fp32.pte").readBytes()
        val file = artifact(program).file()
        assertArrayEquals(source, file.readBytes())
        assertEquals(ModelBundle.open(AssetFiles(context, program)).manifest.artifactSha256, file.nameWithoutExtension)
        file.setLastModified(1_000_000)
        assertEquals(1_000_000, artifact(program).file().lastModified())
        file.writeBytes(ByteArray(3)) // as an old file system leaves it after a crash
        file.resolveSibling("0123.pte").writeBytes(ByteArray(3)) // of the app before an update
        assertArrayEquals(source, artifact(program).file().readBytes())
        assertEquals(listOf(file.name), file.parentFile!!.list()!!.toList())
    }

    @Test
    fun `what is not there`() {
        val error =
            assertThrows(Mnv4Exception.BadBundle::class.java) {
                aside { MobileNetV4.open(context, Mnv4Model("nothing")) }
            }
        assertTrue(error.message, "assets/mnv4/nothing: not a bundle" in error.message!!)
    }

    @Test
    fun `no space to extract to`() {
        val folder = File(context.noBackupFilesDir, "mnv4")
        folder.writeText("in the way")
        try {
            val error = assertThrows(Mnv4Exception.BadBundle::class.java) { artifact(program).file() }
            assertTrue(error.message, "cannot be extracted" in error.message!!)
        } finally {
            folder.delete()
        }
    }
}
