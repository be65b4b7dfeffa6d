package io.github.mnv4.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What precedes the TIFF in a JPEG, and in the WebP files of some programs. */
private const val PREFIX = "Exif\u0000\u0000"

/**
 * Returns the EXIF data of a PNG or WebP file, which is a TIFF; null if it has none or is of another format.
 *
 * `android.media.ExifInterface` reads a TIFF and a JPEG in every version, but PNG and WebP from API 30 on.
 */
internal fun exifChunk(file: ByteArray): ByteArray? {
    val png = file.has("\u0089PNG\r\n\u001a\n", 0)
    if (!png && !(file.has("RIFF", 0) && file.has("WEBP", 8))) return null
    // A PNG has the length first and a checksum last, a WebP the type first and an even length.
    val bytes = ByteBuffer.wrap(file).order(if (png) ByteOrder.BIG_ENDIAN else ByteOrder.LITTLE_ENDIAN)
    var at = if (png) 8 else 12
    while (at + 8 <= file.size) {
        val length = bytes.getInt(if (png) at else at + 4)
        val start = at + 8
        if (length < 0 || length > file.size - start) return null
        if (if (png) file.has("eXIf", at + 4) else file.has("EXIF", at)) {
            val data = file.copyOfRange(start, start + length)
            return if (data.has(PREFIX, 0)) data.copyOfRange(PREFIX.length, length) else data
        }
        at = start + length + (if (png) 4 else length and 1)
    }
    return null
}

private fun ByteArray.has(
    text: String,
    at: Int,
): Boolean = at + text.length <= size && text.indices.all { this[at + it] == text[it].code.toByte() }
