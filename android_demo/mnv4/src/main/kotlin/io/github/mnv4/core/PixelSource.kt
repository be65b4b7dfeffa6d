package io.github.mnv4.core

/**
 * A decoded picture, read line by line, so that a camera frame needs no picture in between.
 *
 * Pixels are packed as `0x??RRGGBB`; what is in the upper byte does not matter.
 */
public interface PixelSource {
    /** The width in pixels. */
    public val width: Int

    /** The height in pixels. */
    public val height: Int

    /** Puts row [y], from left to right, into the first [width] elements of [into]. */
    public fun readRow(
        y: Int,
        into: IntArray,
    )

    /** Puts column [x], from top to bottom, into the first [height] elements of [into]. */
    public fun readColumn(
        x: Int,
        into: IntArray,
    )
}

/** How a stored picture is to be turned to be upright: EXIF's orientation, or a camera's rotation. */
public enum class Orientation(
    /** EXIF's number. */
    public val exif: Int,
    internal val transposed: Boolean,
    internal val fromRight: Boolean,
    internal val fromBottom: Boolean,
) {
    /** The picture is upright as it is stored. */
    UPRIGHT(1, false, false, false),

    /** Left and right change places. */
    MIRRORED(2, false, true, false),

    /** Upside down. */
    TURNED_180(3, false, true, true),

    /** Top and bottom change places. */
    MIRRORED_180(4, false, false, true),

    /** Rows become columns. */
    TRANSPOSED(5, true, false, false),

    /** Clockwise by 90 degrees. */
    TURNED_90(6, true, false, true),

    /** Transposed and upside down. */
    TRANSVERSED(7, true, true, true),

    /** Clockwise by 270 degrees. */
    TURNED_270(8, true, true, false),
    ;

    /** Finding of orientations. */
    public companion object {
        /** Returns the orientation of EXIF's number; upright for a number that EXIF does not have. */
        public fun ofExif(number: Int): Orientation = entries.firstOrNull { it.exif == number } ?: UPRIGHT

        /**
         * Returns the orientation of a camera's clockwise rotation.
         *
         * @throws Mnv4Exception.BadPicture not a multiple of 90.
         */
        public fun ofDegrees(degrees: Int): Orientation =
            when (Math.floorMod(degrees, 360)) {
                0 -> UPRIGHT
                90 -> TURNED_90
                180 -> TURNED_180
                270 -> TURNED_270
                else -> throw Mnv4Exception.BadPicture("rotation: found $degrees degrees, allowed: multiples of 90")
            }
    }
}

/** A part of a picture, turned upright. */
public class TurnedPixels(
    private val source: PixelSource,
    private val orientation: Orientation,
) : PixelSource {
    override val width: Int = if (orientation.transposed) source.height else source.width
    override val height: Int = if (orientation.transposed) source.width else source.height

    override fun readRow(
        y: Int,
        into: IntArray,
    ) {
        // Row y of the upright picture is a row or a column of the stored one.
        if (orientation.transposed) {
            source.readColumn(if (orientation.fromRight) source.width - 1 - y else y, into)
            if (orientation.fromBottom) into.reverse(0, width)
        } else {
            source.readRow(if (orientation.fromBottom) source.height - 1 - y else y, into)
            if (orientation.fromRight) into.reverse(0, width)
        }
    }

    override fun readColumn(
        x: Int,
        into: IntArray,
    ) {
        if (orientation.transposed) {
            source.readRow(if (orientation.fromBottom) source.height - 1 - x else x, into)
            if (orientation.fromRight) into.reverse(0, height)
        } else {
            source.readColumn(if (orientation.fromRight) source.width - 1 - x else x, into)
            if (orientation.fromBottom) into.reverse(0, height)
        }
    }
}
