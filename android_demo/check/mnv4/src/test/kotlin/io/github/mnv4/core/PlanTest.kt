package io.github.mnv4.core

import io.github.mnv4.Fixtures
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class PlanTest {
    private fun refused(text: String): String =
        assertThrows(Mnv4Exception.BadPlan::class.java) { Plan.parse(text) }.message!!

    @Test
    fun `there and back`() {
        val plan = Plan(warmup = 3, runs = 7, seconds = 0.5, threads = 2, statistic = "p90")
        assertEquals(plan, Plan.parse(plan.toJson().toString()))
    }

    @Test
    fun `reads what Python wrote`() {
        val job = Fixtures.json("job.json")
        assertEquals(Plan(warmup = 2, runs = 5, seconds = 0.0), Plan.parse(job.getJSONObject("plan").toString()))
    }

    @Test
    fun `what cannot be followed is named`() {
        val good = Plan().toJson()
        assertTrue("sped: unknown key" in refused(Plan().toJson().put("sped", 1).toString()))
        assertTrue("runs: found 0" in refused(Plan().toJson().put("runs", 0).toString()))
        assertTrue("schema: found 9" in refused(Plan().toJson().put("schema", 9).toString()))
        good.remove("threads")
        assertTrue("threads" in refused(good.toString()))
        refused("{")
    }
}
