package io.github.mnv4.core

import io.github.mnv4.Fixtures
import io.github.mnv4.MobileNetV4
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.io.RandomAccessFile

class BundleTest {
    private val name = "conv-small-035-96x96-fp32-tflite"
    private val artifact = "conv-small-035-96x96-fp32.tflite"

    private fun open(folder: File) = ModelBundle.open(FolderFiles(folder))

    private fun refused(block: () -> Unit): String =
        assertThrows(Mnv4Exception.BadBundle::class.java) { block() }.message!!

    private fun edited(change: JSONObject.() -> Unit): File {
        val folder = Fixtures.copy(name)
        val file = File(folder, "manifest.json")
        file.writeText(JSONObject(file.readText()).apply(change).toString())
        return folder
    }

    @Test
    fun `reads what Python wrote`() {
        val bundle = open(Fixtures.bundle(name))
        bundle.checkArtifact()
        assertEquals(name, bundle.manifest.id)
        assertEquals(listOf(1, 96, 96, 3), bundle.manifest.input.shape)
        assertEquals(10, bundle.manifest.labels!!.size)
        val pixels = bundle.golden("input").getValue("pixels")
        assertEquals(0, pixels.remaining() % (96 * 96 * 3))
        assertEquals(setOf("logits"), bundle.golden("eager").keys)
    }

    @Test
    fun `a damaged artifact`() {
        val folder = Fixtures.copy(name)
        RandomAccessFile(File(folder, artifact), "rw").use { it.write(1) }
        val message = refused { open(folder).checkArtifact() }
        assertTrue(message, message.startsWith("$folder: $artifact: damaged: sha256"))
        assertTrue(message, "copy the bundle again, or write the models module again with mnv4 sdk android" in message)
        assertEquals(message, refused { MobileNetV4.open(Fixtures.context, folder) }) // mapped
        val program = Fixtures.copy("conv-small-035-96x96-fp32-executorch")
        RandomAccessFile(File(program, artifact.replace("tflite", "pte")), "rw").use { it.write(1) }
        assertTrue("damaged: sha256" in refused { MobileNetV4.open(Fixtures.context, program) }) // a file
    }

    @Test
    fun `files that are missing`() {
        val folder = Fixtures.copy(name)
        File(folder, artifact).delete()
        assertTrue("$artifact: missing" in refused { open(folder).checkArtifact() })
        File(folder, "manifest.json").delete()
        assertTrue("not a bundle" in refused { open(folder) })
    }

    @Test
    fun `a newer schema`() {
        val folder = edited { put("schema", 2) }
        val message = refused { open(folder) }
        assertTrue(message, message.startsWith("$folder/manifest.json: schema: written by a newer version (schema 2"))
        assertTrue(message, "update the mnv4 library" in message)
    }

    @Test
    fun `classes without names have numbers`() {
        val folder = edited { put("labels", JSONObject.NULL) }
        assertNull(open(folder).manifest.labels)
        val found = Scores.top(floatArrayOf(0.1f, 0.7f, 0.2f), 2, null)
        assertEquals(listOf("1", "2"), found.map { it.label })
    }

    @Test
    fun `labels that are missing`() {
        val folder = edited { put("labels", JSONArray(listOf("one"))) }
        assertTrue("labels: found 1, must be 10" in refused { open(folder) })
    }

    @Test
    fun `a golden tensor that is cut`() {
        val folder = Fixtures.copy(name)
        File(folder, "golden/eager.logits.bin").writeBytes(ByteArray(3))
        assertTrue("found 3 bytes" in refused { open(folder).golden("eager") })
    }

    @Test
    fun `a golden tensor that was changed`() {
        val folder = Fixtures.copy(name)
        val file = File(folder, "golden/eager.logits.bin")
        file.writeBytes(ByteArray(file.length().toInt()))
        assertTrue("eager.logits.bin: damaged: sha256" in refused { open(folder).golden("eager") })
    }

    @Test
    fun `an artifact of another length than the manifest says`() {
        val folder = edited { getJSONObject("artifact").put("bytes", 1) }
        assertTrue("the manifest says 1" in refused { open(folder).checkArtifact() })
    }
}
