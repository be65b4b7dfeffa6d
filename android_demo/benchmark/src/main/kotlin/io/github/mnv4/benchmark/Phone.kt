package io.github.mnv4.benchmark

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import io.github.mnv4.core.Thermal
import java.io.File
import java.io.IOException

/** What the phone says of itself. */
internal class Phone(
    private val context: Context,
) {
    private val power = context.getSystemService(PowerManager::class.java)

    /** Android's levels as the plan's four; see `ThermalStatus` in `mnv4_mobile/measure/plan.py`. */
    fun thermal(): Thermal {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return Thermal()
        return Thermal(
            status =
                when (power.currentThermalStatus) {
                    PowerManager.THERMAL_STATUS_NONE -> "nominal"
                    PowerManager.THERMAL_STATUS_LIGHT, PowerManager.THERMAL_STATUS_MODERATE -> "fair"
                    PowerManager.THERMAL_STATUS_SEVERE -> "serious"
                    else -> "critical"
                },
        )
    }

    /** What bears on the figures, as far as an app may see it. */
    fun conditions(): Map<String, Any> =
        buildMap {
            put("screen", if (power.isInteractive) "on" else "off")
            governor()?.let { put("governor", it) }
            val battery = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
            val level = battery?.getIntExtra(BatteryManager.EXTRA_LEVEL, -1) ?: -1
            val scale = battery?.getIntExtra(BatteryManager.EXTRA_SCALE, -1) ?: -1
            if (level >= 0 && scale > 0) put("battery_percent", 100.0 * level / scale)
        }

    private fun governor(): String? =
        try {
            File("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").readText().trim()
        } catch (_: IOException) {
            null // not for apps, on many phones
        }

    /** Most memory that this process has had so far, in MiB. */
    fun peakRssMb(): Double? =
        File("/proc/self/status")
            .readLines()
            .firstOrNull { it.startsWith("VmHWM:") }
            ?.filter(Char::isDigit)
            ?.let { it.toDouble() / 1024 }
}
