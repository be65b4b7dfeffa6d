package io.github.mnv4.core

import kotlin.math.floor
import kotlin.math.min

/**
 * Resizes images of one size and orientation, turns them upright and crops their centre.
 *
 * Only what the crop needs is read, in strips of upright rows. The width is filtered first: the columns of
 * a strip are weighted and added up, then its rows. Each step works on whole lines of integers, with red,
 * green and blue one after another, so that compilers use vector instructions.
 */
internal class Resizer(
    private val spec: PreprocessSpec,
    image: PixelSource,
) {
    private val width = image.width
    private val height = image.height
    private val orientation = image.orientation

    /** The filters of the upright image's width and height; a mirrored side is read backwards. */
    private val across: Resampling
    private val down: Resampling

    /** The place of the first result in the upright image, and the steps to the next column and row. */
    private val origin: Int
    private val columnStep: Int
    private val rowStep: Int

    /** How many rows a strip has; [pixels] holds one, and [strip] its rows at their final width. */
    private val depth: Int
    private val pixels: IntArray
    private val column: IntArray
    private val columns: Sums
    private val strip: Array<IntArray>
    private val rows: Sums

    init {
        if (width < 1 || height < 1) {
            throw Mnv4Exception.BadImage("image: found $width x $height pixels, must be 1 x 1 or more")
        }
        val fromWidth = image.uprightWidth
        val fromHeight = image.uprightHeight
        val (toWidth, toHeight) = resizedSize(fromWidth, fromHeight)
        if (toWidth.toLong() * toHeight > MAX_PIXELS) {
            throw Mnv4Exception.BadImage(
                "image: $fromWidth x $fromHeight would be resized to $toWidth x $toHeight, " +
                    "at most $MAX_PIXELS pixels are allowed",
            )
        }
        val left = Math.rint((toWidth - spec.width) / 2.0).toInt()
        val top = Math.rint((toHeight - spec.height) / 2.0).toInt()
        val mirrored = if (orientation.transposed) orientation.fromBottom else orientation.fromRight
        val flipped = if (orientation.transposed) orientation.fromRight else orientation.fromBottom
        across = Resampling(fromWidth, toWidth, spec.interpolation, left, spec.width, mirrored)
        down = Resampling(fromHeight, toHeight, spec.interpolation, top, spec.height, flipped)
        columnStep = if (mirrored) -1 else 1
        rowStep = if (flipped) -spec.width else spec.width
        origin = (if (mirrored) spec.width - 1 else 0) + (if (flipped) (spec.height - 1) * spec.width else 0)

        depth = min(down.length, DEPTH)
        pixels = IntArray(depth * across.length)
        column = IntArray(3 * depth)
        columns = Sums(across, column.size)
        strip = Array(depth) { IntArray(3 * spec.width) }
        rows = Sums(down, 3 * spec.width)
    }

    private fun resizedSize(
        width: Int,
        height: Int,
    ): Pair<Int, Int> {
        val toWidth = floor(spec.width / spec.crop).toInt()
        val toHeight = floor(spec.height / spec.crop).toInt()
        if (toWidth == toHeight) {
            val shorter = min(width, height)
            return (toHeight.toLong() * width / shorter).toInt() to (toHeight.toLong() * height / shorter).toInt()
        }
        val ratio = min(height.toDouble() / toHeight, width.toDouble() / toWidth)
        return Math.rint(width / ratio).toInt() to Math.rint(height / ratio).toInt()
    }

    /** Tells whether an image has this size and orientation. */
    fun fits(image: PixelSource): Boolean =
        image.width == width && image.height == height && image.orientation == orientation

    /** Writes the RGB pixels of an image, row by row. */
    fun resize(
        image: PixelSource,
        into: ByteArray,
    ) {
        rows.begin()
        for (y in 0 until down.length step depth) {
            val count = min(depth, down.length - y)
            narrow(image, y, count)
            for (k in 0 until count) rows.add(y + k, strip[k]) { result, values -> put(values, result, into) }
        }
    }

    /** Fills [strip] with [count] rows from [y] on, at their final width. */
    private fun narrow(
        image: PixelSource,
        y: Int,
        count: Int,
    ) {
        val top = down.first + y
        if (orientation.transposed) {
            image.read(top, across.first, count, across.length, pixels)
        } else {
            image.read(across.first, top, across.length, count, pixels)
        }
        columns.begin()
        for (x in 0 until across.length) {
            if (orientation.transposed) unpack(x * count, 1, count) else unpack(x, across.length, count)
            columns.add(x, column) { result, values ->
                for (k in 0 until count) {
                    val row = strip[k]
                    for (c in 0 until 3) row[c * spec.width + result] = values[c * depth + k]
                }
            }
        }
    }

    /** Fills [column] with every [step]-th of the [pixels] from [start] on. */
    private fun unpack(
        start: Int,
        step: Int,
        count: Int,
    ) {
        for (k in 0 until count) {
            val pixel = pixels[start + k * step]
            column[k] = pixel shr 16 and 0xff
            column[depth + k] = pixel shr 8 and 0xff
            column[2 * depth + k] = pixel and 0xff
        }
    }

    /** Puts a finished row to its place in the upright image. */
    private fun put(
        row: IntArray,
        result: Int,
        into: ByteArray,
    ) {
        var place = 3 * (origin + result * rowStep)
        for (x in 0 until spec.width) {
            for (c in 0 until 3) into[place + c] = row[c * spec.width + x].toByte()
            place += 3 * columnStep
        }
    }

    private companion object {
        /** How many rows a strip has: enough for vector instructions, and few enough for a phone's caches. */
        const val DEPTH = 128

        /** Pillow's limit against decompression bombs. */
        const val MAX_PIXELS = 178_956_970L
    }
}

/** Weights lines and adds them up, in one array for each result of [side] that is not complete. */
private class Sums(
    private val side: Resampling,
    length: Int,
) {
    private val sums = Array(side.overlap) { IntArray(length) }
    private var begun = 0
    private var complete = 0

    /** Begins again with the first line. */
    fun begin() {
        begun = 0
        complete = 0
    }

    /** Adds the next line, and passes on each result that this completes. */
    inline fun add(
        index: Int,
        line: IntArray,
        finish: (result: Int, values: IntArray) -> Unit,
    ) {
        while (begun < side.count && side.starts[begun] == index) of(begun++).fill(Resampling.HALF)
        for (result in complete until begun) add(line, side.weight(result, index), of(result))
        while (complete < begun && side.ends[complete] == index + 1) {
            val values = of(complete)
            Resampling.round(values)
            finish(complete++, values)
        }
    }

    private fun of(result: Int) = sums[result % sums.size]

    private fun add(
        line: IntArray,
        weight: Int,
        sum: IntArray,
    ) {
        for (x in sum.indices) sum[x] += line[x] * weight
    }
}
