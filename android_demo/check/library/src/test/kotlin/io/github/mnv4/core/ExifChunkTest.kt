package io.github.mnv4.core

import io.github.mnv4.Fixtures
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import java.io.File

class ExifChunkTest {
    private fun file(name: String) = File(Fixtures.folder, "formats/$name").readBytes()

    @Test
    fun `the EXIF data of PNG and WebP files is a TIFF`() {
        for (name in listOf("turned6.png", "turned6.webp")) {
            val found = exifChunk(file(name))!!
            assertEquals(name, "MM\u0000*", String(found, 0, 4))
        }
        assertNull(exifChunk(file("grey.png")))
        assertNull(exifChunk(file("colour.webp")))
        assertNull(exifChunk(file("turned6.jpg")))
    }

    @Test
    fun `a chunk with the prefix of JPEG, behind one of odd length`() {
        val chunks = "VP8 \u0001\u0000\u0000\u0000x\u0000" + "EXIF\u0008\u0000\u0000\u0000Exif\u0000\u0000II"
        val webp = "RIFF????WEBP$chunks".toByteArray()
        assertArrayEquals("II".toByteArray(), exifChunk(webp))
    }

    @Test
    fun `damaged files have none`() {
        for (name in listOf("turned6.png", "turned6.webp")) {
            val whole = file(name)
            for (length in 0 until whole.size step 7) exifChunk(whole.copyOf(length))
            for (at in 0 until minOf(whole.size, 100)) {
                for (value in listOf(0x7f, 0xff)) exifChunk(whole.copyOf().also { it[at] = value.toByte() })
            }
        }
        val negative = "RIFF????WEBPVP8 ".toByteArray() + byteArrayOf(-1, -1, -1, -1)
        assertNull(exifChunk(negative))
        val short = "RIFF????WEBPEXIF\u0004\u0000\u0000\u0000Exif\u0000\u0000".toByteArray()
        assertArrayEquals("Exif".toByteArray(), exifChunk(short))
    }
}
