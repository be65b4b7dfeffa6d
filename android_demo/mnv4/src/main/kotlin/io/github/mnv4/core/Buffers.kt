package io.github.mnv4.core

import java.nio.Buffer

/**
 * Moves to an element.
 *
 * `position`, `rewind` and `clear` of a `ByteBuffer` are newer than Android 8; those of [Buffer] are not.
 */
@Mnv4Internal
public fun Buffer.moveTo(index: Int) {
    position(index)
}
