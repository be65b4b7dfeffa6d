package io.github.mnv4

import io.github.mnv4.core.FolderFiles
import io.github.mnv4.core.ModelBundle
import org.junit.Assert.assertEquals
import org.junit.Test
import java.io.File

/** The bundles that this module lists are in its assets, undamaged. */
class Mnv4ModelsTest {
    private val assets = File("src/main/assets/mnv4")

    @Test
    fun `every model is in the assets, and nothing else`() {
        assertEquals(Mnv4Models.ALL.map { it.id }.sorted(), assets.list().orEmpty().sorted())
        for (model in Mnv4Models.ALL) {
            val bundle = ModelBundle.open(FolderFiles(File(assets, model.id)))
            assertEquals(model.id, bundle.manifest.id)
            bundle.checkArtifact()
        }
    }
}
