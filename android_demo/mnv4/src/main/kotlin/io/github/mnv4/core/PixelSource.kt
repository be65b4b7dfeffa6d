package io.github.mnv4.core

/**
 * A decoded image that is read line by line, so that a camera frame needs no intermediate image.
 *
 * Pixels are packed as `0x??RRGGBB`; the upper byte is ignored.
 */
public interface PixelSource {
    /** The width in pixels. */
    public val width: Int

    /** The height in pixels. */
    public val height: Int

    /** Writes row [y], from left to right, into the first [width] elements of [into]. */
    public fun readRow(
        y: Int,
        into: IntArray,
    )

    /** Writes column [x], from top to bottom, into the first [height] elements of [into]. */
    public fun readColumn(
        x: Int,
        into: IntArray,
    )
}

/** How a stored image must be turned to be upright: EXIF's orientation, or a camera's rotation. */
public enum class Orientation(
    /** EXIF's number for the orientation. */
    public val exif: Int,
    internal val transposed: Boolean,
    internal val fromRight: Boolean,
    internal val fromBottom: Boolean,
) {
    /** The image is upright as it is stored. */
    UPRIGHT(1, false, false, false),

    /** Left and right are swapped. */
    MIRRORED(2, false, true, false),

    /** The image is turned by 180 degrees. */
    TURNED_180(3, false, true, true),

    /** Top and bottom are swapped. */
    MIRRORED_180(4, false, false, true),

    /** Rows and columns are swapped. */
    TRANSPOSED(5, true, false, false),

    /** The image is turned clockwise by 90 degrees. */
    TURNED_90(6, true, false, true),

    /** Rows and columns are swapped, and the image is turned by 180 degrees. */
    TRANSVERSED(7, true, true, true),

    /** The image is turned clockwise by 270 degrees. */
    TURNED_270(8, true, true, false),
    ;

    /** Finds orientations. */
    public companion object {
        /** Returns the orientation with an EXIF number; upright for a number that EXIF does not have. */
        public fun ofExif(number: Int): Orientation = entries.firstOrNull { it.exif == number } ?: UPRIGHT

        /**
         * Returns the orientation for a camera's clockwise rotation.
         *
         * @throws Mnv4Exception.BadImage if it is not a multiple of 90.
         */
        public fun ofDegrees(degrees: Int): Orientation =
            when (Math.floorMod(degrees, 360)) {
                0 -> UPRIGHT
                90 -> TURNED_90
                180 -> TURNED_180
                270 -> TURNED_270
                else -> throw Mnv4Exception.BadImage("rotation: found $degrees degrees, allowed: multiples of 90")
            }
    }
}

/** An image, turned upright. */
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
        // Row y of the upright image is a row or a column of the stored one.
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
