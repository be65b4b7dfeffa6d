package io.github.mnv4

import io.github.mnv4.Fixtures.objects
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import kotlin.math.abs

/** Real JPEGs through Android's decoder, this library and a real LiteRT, beside `mnv4 predict`. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ClassifyTest {
    @Before
    fun load() = NativeLiteRt.load()

    @Test
    fun `the same classes and probabilities as Python`() {
        val expected = Fixtures.json("expected.json")
        assertTrue(expected.length() >= 2)
        for (name in expected.keys()) {
            MobileNetV4.open(Fixtures.bundle(name)).use { model ->
                for (case in expected.getJSONArray(name).objects()) {
                    val picture = Pictures.decode(File(Fixtures.folder, case.getString("picture")).inputStream())
                    val found = model.run(picture).top(5)
                    val wanted = case.getJSONArray("top").objects()
                    val worst = found.indices.maxOf { abs(found[it].probability - wanted[it].getDouble("probability")) }
                    val about = "$name ${case.getString("picture")}"
                    println("$about: ${found[0].label} ${wanted[0].getString("label")} $worst")
                    assertEquals(about, 0.0, worst, 1e-3)
                    assertEquals(about, wanted[0].getInt("index"), found[0].index)
                }
            }
        }
    }
}
