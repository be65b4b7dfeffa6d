package io.github.mnv4.measure

import io.github.mnv4.Fixtures
import io.github.mnv4.Fixtures.doubles
import io.github.mnv4.Fixtures.objects
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import java.io.File

/** The golden cases that all languages share. */
class StatisticsTest {
    @Test
    fun `statistics of latencies`() {
        val golden = JSONObject(File(Fixtures.golden, "statistics.json").readText())
        for (case in golden.getJSONArray("cases").objects()) {
            val name = case.getString("name")
            val wanted = case.getJSONObject("expected")
            val found = Statistics.of(case.getJSONArray("latencies_ms").doubles())!!

            fun same(
                key: String,
                value: Double,
            ) = assertEquals("$name: $key", wanted.getDouble(key), value, 1e-9 * Math.abs(wanted.getDouble(key)))
            for (percent in listOf(50, 90, 95)) same("p$percent", found.percentile(percent.toDouble()))
            same("mean", found.mean)
            same("min", found.min)
            same("max", found.max)
            if (wanted.isNull("cv")) assertNull(name, found.variation) else same("cv", found.variation!!)
        }
        assertNull(Statistics.of(DoubleArray(0)))
    }
}
