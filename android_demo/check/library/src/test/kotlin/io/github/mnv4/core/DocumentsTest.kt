package io.github.mnv4.core

import io.github.mnv4.Fixtures
import io.github.mnv4.Fixtures.objects
import io.github.mnv4.measure.BadPlan
import io.github.mnv4.measure.Job
import io.github.mnv4.measure.Plan
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File

/** The records that every language accepts, and those that it refuses. */
class DocumentsTest {
    private fun check(
        kind: String,
        refusal: Class<out Exception>,
        parse: (String) -> Any,
    ) {
        val documents = JSONObject(File(Fixtures.golden, "documents/$kind.json").readText())
        val accepted = documents.getJSONArray("accept").objects()
        val refused = documents.getJSONArray("refuse").objects()
        assertTrue(accepted.size >= 6 && refused.size >= 20)
        val wrong =
            accepted.mapNotNull { document ->
                val found = runCatching { parse(document.getString("text")) }
                found.exceptionOrNull()?.let { "${document.getString("name")}: refused: $it" }
            } +
                refused.mapNotNull { document ->
                    val error = runCatching { parse(document.getString("text")) }.exceptionOrNull()
                    val named = refusal.isInstance(error) && document.getString("key") in error!!.message!!
                    if (named) null else "${document.getString("name")}: found ${error ?: "accepted"}"
                }
        assertEquals("", wrong.joinToString("\n"))
    }

    @Test
    fun manifests() = check("manifest", Mnv4Exception.BadBundle::class.java, ModelManifest::parse)

    @Test
    fun plans() = check("plan", BadPlan::class.java, Plan::parse)

    @Test
    fun jobs() = check("job", BadPlan::class.java, Job::parse)
}
