package io.github.mnv4.core

/**
 * A decoded image, read in parts as it is stored, so that a camera frame needs no intermediate image.
 *
 * Pixels are packed as `0x??RRGGBB`; the upper byte is ignored.
 */
public interface PixelSource {
    /** The width in pixels, as stored. */
    public val width: Int

    /** The height in pixels, as stored. */
    public val height: Int

    /** How the image must be turned to be upright. */
    public val orientation: Orientation

    /**
     * Writes the pixels of a part of the stored image into [into], row by row.
     *
     * @param into holds [width] x [height] pixels or more; the first one goes to its start.
     */
    public fun read(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
        into: IntArray,
    )
}

/** The width of the upright image. */
public val PixelSource.uprightWidth: Int get() = if (orientation.transposed) height else width

/** The height of the upright image. */
public val PixelSource.uprightHeight: Int get() = if (orientation.transposed) width else height

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
        @JvmStatic
        public fun ofExif(number: Int): Orientation = entries.firstOrNull { it.exif == number } ?: UPRIGHT

        /**
         * Returns the orientation for a camera's clockwise rotation.
         *
         * @throws Mnv4Exception.BadImage if it is not a multiple of 90.
         */
        @JvmStatic
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
