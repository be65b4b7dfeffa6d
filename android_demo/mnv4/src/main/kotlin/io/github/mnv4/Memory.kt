package io.github.mnv4

import android.content.Context
import android.os.Build
import io.github.mnv4.core.Json
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelManifest
import org.json.JSONArray
import org.json.JSONObject
import java.io.File
import java.io.IOException

/**
 * Remembers what was found out about the units, for one network at one input size on one device.
 *
 * The file is worth nothing when it is lost or damaged: then the units are tried again.
 */
internal class Memory(
    private val file: File,
    /** What the findings depend on. Findings for another key are forgotten. */
    private val key: Map<String, String>,
) {
    private var known: State? = null
    private val state get() = known ?: read().also { known = it }

    /** Returns the findings; none if the units have to be tried. */
    fun findings(): List<Finding> = state.findings

    /** Returns how often a trial of a unit began and never ended. */
    fun begun(unit: Accelerator): Int = state.begun[unit] ?: 0

    /** Notes that a unit is being tried, in case that this ends the app. */
    fun begin(unit: Accelerator): Unit = write(State(state.begun + (unit to begun(unit) + 1), state.findings))

    /** Notes that the trial ended, and the app did not. */
    fun end(unit: Accelerator): Unit = write(State(state.begun - unit, state.findings))

    /** Remembers findings. */
    fun keep(findings: List<Finding>): Unit = write(State(state.begun, findings))

    private class State(
        val begun: Map<Accelerator, Int> = emptyMap(),
        val findings: List<Finding> = emptyList(),
    )

    private fun read(): State =
        try {
            Json.record(file.readText(), { Mnv4Exception.BadBundle("$file: $it") }) { state() }
        } catch (_: IOException) {
            State()
        } catch (_: Mnv4Exception) {
            State()
        }

    private fun Json.Entries.state(): State {
        val found = get("key").map().mapValues { it.value.text() }
        val begun = get("begun").map().entries.associate { unit(it.key) to it.value.integer() }
        val findings = get("findings").list().map { it.record { finding() } }
        return if (found == key) State(begun, findings) else State()
    }

    private fun Json.Entries.finding(): Finding =
        Finding(
            unit = unit(get("unit").text()),
            verdict = Verdict.valueOf(get("verdict").oneOf(Verdict.entries.map { it.name })),
            medianMs = get("median_ms").orNull { number(0.0) },
            text = get("text").text(),
        )

    private fun Json.Entries.unit(name: String): Accelerator =
        UNITS.firstOrNull { it.unit == name } ?: refuse("unit", "found '$name', must be one of $UNITS")

    private fun write(now: State) {
        known = now
        val text =
            JSONObject()
                .put("key", JSONObject(key))
                .put("begun", JSONObject(now.begun.mapKeys { it.key.unit }))
                .put("findings", JSONArray(now.findings.map(::json)))
                .toString()
        val part = File(file.path + ".part")
        try {
            file.parentFile?.mkdirs()
            part.writeText(text)
            if (!part.renameTo(file)) part.delete()
        } catch (_: IOException) {
            part.delete() // Without storage, the next opening tries the units again.
        }
    }

    private fun json(finding: Finding): JSONObject =
        JSONObject()
            .put("unit", finding.unit.unit)
            .put("verdict", finding.verdict.name)
            .put("median_ms", finding.medianMs ?: JSONObject.NULL)
            .put("text", finding.text)

    companion object {
        /** Returns the memory of a network, which is in the part of the app's storage that backups leave out. */
        fun of(
            context: Context,
            manifests: List<ModelManifest>,
            threads: Int,
        ): Memory {
            val artifacts = manifests.map { it.artifactSha256 }.distinct()
            val app = context.packageManager.getPackageInfo(context.packageName, 0).lastUpdateTime
            val key =
                mapOf(
                    "device" to "${Build.MANUFACTURER} ${Build.MODEL}",
                    "os_build" to Build.FINGERPRINT,
                    "artifacts" to artifacts.joinToString(),
                    "threads" to "$threads",
                    "app" to "$app", // which brings the runtime
                )
            val network = "${artifacts.first()}-${manifests.first().inputSize}"
            return Memory(File(context.noBackupFilesDir, "mnv4-units/$network.json"), key)
        }
    }
}
