package io.github.mnv4.core

/** A part of an image; its place is that in the stored image. */
internal class CroppedPixels(
    private val image: PixelSource,
    private val left: Int,
    private val top: Int,
    override val width: Int,
    override val height: Int,
) : PixelSource {
    override val orientation: Orientation get() = image.orientation

    override fun read(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
        into: IntArray,
    ): Unit = image.read(this.left + left, this.top + top, width, height, into)

    companion object {
        /** Returns the part of an image whose place is that in the upright image. */
        fun upright(
            image: PixelSource,
            left: Int,
            top: Int,
            width: Int,
            height: Int,
        ): PixelSource {
            val turn = image.orientation
            val (across, down) = if (turn.transposed) top to left else left to top
            val (columns, rows) = if (turn.transposed) height to width else width to height
            return CroppedPixels(
                image,
                if (turn.fromRight) image.width - across - columns else across,
                if (turn.fromBottom) image.height - down - rows else down,
                columns,
                rows,
            )
        }
    }
}
