package io.github.mnv4.app

import android.graphics.RectF
import android.util.Size
import io.github.mnv4.core.PreprocessSpec
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ViewfinderTest {
    private val frame = Size(480, 640)

    private fun square(crop: Double) = PreprocessSpec(224, 224, crop, "bicubic", listOf(0f, 0f, 0f), listOf(1f, 1f, 1f))

    /** Where the matrix puts what the view would show all over itself. */
    private fun shown(
        width: Float,
        height: Float,
        turns: Int,
    ): RectF {
        val rect = RectF(0f, 0f, width, height)
        Viewfinder(width, height, frame, turns).matrix().mapRect(rect)
        return rect
    }

    @Test
    fun `upright, all of the picture is in the view and keeps its sides' ratio`() {
        assertEquals(RectF(0f, 0f, 300f, 400f), shown(300f, 400f, 0))
        assertEquals(RectF(0f, 100f, 300f, 500f), shown(300f, 600f, 0))
    }

    @Test
    fun `turned to a side, too`() {
        for (turns in listOf(1, 3)) {
            assertEquals(RectF(0f, 0f, 800f, 600f), shown(800f, 600f, turns))
            assertEquals(RectF(100f, 0f, 700f, 450f), shown(800f, 450f, turns))
        }
    }

    @Test
    fun `turned counterclockwise, the picture turns clockwise back`() {
        // The upper left corner of the display's natural position is the lower left one now.
        val corner = floatArrayOf(0f, 0f)
        Viewfinder(800f, 600f, frame, 1).matrix().mapPoints(corner)
        assertEquals(0f, corner[0], 0.01f)
        assertEquals(600f, corner[1], 0.01f)
    }

    @Test
    fun `what the network sees`() {
        // 480 x 640 upright: 224 of 256 lines of the shorter side.
        val found = Viewfinder(480f, 640f, frame, 0).crop(square(0.875))
        assertEquals(RectF(30f, 110f, 450f, 530f), found)
        assertEquals(RectF(0f, 80f, 480f, 560f), Viewfinder(480f, 640f, frame, 0).crop(square(1.0)))
    }

    @Test
    fun `the smallest size that is enough, of the sensor's shape`() {
        val sizes = listOf(Size(1920, 1080), Size(640, 480), Size(320, 240), Size(800, 480), Size(1600, 1200))
        assertEquals(Size(640, 480), Lens.size(sizes))
        assertEquals(Size(1920, 1080), Lens.size(listOf(Size(1920, 1080), Size(176, 144))))
        assertEquals(Size(176, 144), Lens.size(listOf(Size(176, 144))))
        assertEquals(null, Lens.size(emptyList()))
    }
}
