package io.github.mnv4

import android.app.Application
import io.github.mnv4.core.ModelBundle
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import io.github.mnv4.models.main.Mnv4Models as Main
import io.github.mnv4.models.shop.Mnv4Models as Shop

/** The two models modules of tools/android.py, whose assets are merged as an app's are. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = Application::class)
class GeneratedTest {
    private val context = RuntimeEnvironment.getApplication()

    private fun bundle(model: Mnv4Model): ModelBundle = ModelBundle.open(AssetFiles(context, model))

    @Test
    fun `every model is in the assets, undamaged, with one golden pair`() {
        val models = Main.ALL + Shop.ALL
        val folders =
            context.assets
                .list(MobileNetV4.ASSETS)
                .orEmpty()
                .map { it.substringBefore('/') }
        assertEquals(models.map { it.folder }.toSet(), folders.toSet())
        for (model in models) {
            val bundle = bundle(model)
            bundle.checkArtifact()
            val (height, width) = bundle.manifest.preprocess.let { it.height to it.width }
            assertEquals(height * width * 3, bundle.golden("input").getValue("pixels").limit())
            val eager = bundle.golden("eager")
            for (output in bundle.manifest.outputs) {
                assertEquals(output.size * Float.SIZE_BYTES, eager.getValue(output.name).limit())
            }
        }
    }

    @Test
    fun `two classifiers of one architecture are in one app`() {
        val digits = bundle(Main.CONV_SMALL_035_96X96_FP32_TFLITE).manifest
        val shop = bundle(Shop.CONV_SMALL_035_96X96_FP32_TFLITE).manifest
        assertEquals(digits.id, shop.id)
        assertNotEquals(digits.labels, shop.labels)
        assertEquals("thing 0", shop.labels!!.first())
    }
}
