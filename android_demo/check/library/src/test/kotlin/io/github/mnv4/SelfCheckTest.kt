package io.github.mnv4

import io.github.mnv4.core.Mnv4Exception
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.security.MessageDigest

class SelfCheckTest {
    private val names = listOf("conv-small-035-96x96-fp32-tflite", "conv-small-035-96x96-fp32-executorch")

    @Test
    fun `a network checks itself, and says what runs it`() {
        val runtimes =
            names.map { name ->
                MobileNetV4.open(Fixtures.context, Fixtures.bundle(name)).use { model ->
                    val demanded =
                        model.manifest.golden
                            .mapNotNull { it.minSqnrDb }
                            .max()
                    assertTrue(model.selfCheck() >= demanded)
                    model.runtime
                }
            }
        assertEquals(listOf("tflite 2.16.1", "executorch (XnnpackBackend)"), runtimes)
    }

    @Test
    fun `wrong values are found`() {
        val folder = Fixtures.copy(names[0])
        val golden = File(folder, "golden/eager.logits.bin")
        val wrong = golden.readBytes().reversedArray()
        golden.writeBytes(wrong)
        val digest = MessageDigest.getInstance("SHA-256").digest(wrong).joinToString("") { "%02x".format(it) }
        val file = File(folder, "manifest.json")
        val manifest = JSONObject(file.readText())
        val entries = manifest.getJSONArray("golden")
        for (i in 0 until entries.length()) {
            val entry = entries.getJSONObject(i)
            if (entry.getString("source") == "eager") entry.put("sha256", digest)
        }
        file.writeText(manifest.toString())
        MobileNetV4.open(Fixtures.context, folder).use { model ->
            val error = assertThrows(Mnv4Exception.WrongOutput::class.java) { model.selfCheck() }
            assertTrue(error.message, "output logits: " in error.message!! && "use one of another" in error.message!!)
        }
    }
}
