package io.github.mnv4.measure

import io.github.mnv4.Fixtures
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class PlanTest {
    @Test
    fun `there and back`() {
        val plan = Plan(warmup = 3, runs = 7, seconds = 0.5, threads = 2, unit = "npu", statistic = "p90")
        assertEquals(plan, Plan.parse(plan.toJson().toString()))
    }

    @Test
    fun `reads what Python wrote`() {
        val job = Fixtures.json("job.json")
        assertEquals(Plan(warmup = 2, runs = 5, seconds = 0.0), Plan.parse(job.getJSONObject("plan").toString()))
    }

    @Test
    fun `what cannot be followed is named`() {
        val text = Plan().toJson().put("runs", 0).toString()
        val error = assertThrows(BadPlan::class.java) { Plan.parse(text) }
        assertEquals("plan: runs: found 0, must be an integer from 1 to 2147483647", error.message)
    }
}
