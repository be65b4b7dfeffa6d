package io.github.mnv4.measure

import android.annotation.SuppressLint
import android.annotation.TargetApi
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import android.provider.Settings
import java.io.File
import java.io.IOException

/** What the phone says of itself. */
public class Phone(
    private val context: Context,
) {
    private val power = context.getSystemService(PowerManager::class.java)

    /** How warm it is now; Android tells from version 10 on. */
    public fun thermal(): Thermal = if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) Thermal() else thermalNow()

    @TargetApi(Build.VERSION_CODES.Q)
    private fun thermalNow() = Thermal(status = name(power.currentThermalStatus))

    /**
     * Tells [changed] of every change of the thermal state, on the main thread.
     *
     * @return what ends it.
     */
    public fun watchThermal(changed: (Thermal) -> Unit): AutoCloseable =
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) {
            AutoCloseable {}
        } else {
            ThermalWatch(power) { changed(Thermal(status = name(it))) }
        }

    /** Android's levels as the plan's four; see `ThermalStatus` in `mnv4_mobile/measuring/plan.py`. */
    private fun name(status: Int): String =
        when (status) {
            PowerManager.THERMAL_STATUS_NONE -> "nominal"
            PowerManager.THERMAL_STATUS_LIGHT, PowerManager.THERMAL_STATUS_MODERATE -> "fair"
            PowerManager.THERMAL_STATUS_SEVERE -> "serious"
            else -> "critical"
        }

    /** What it is. An app may not see the serial number, only a number that is always its own. */
    @SuppressLint("HardwareIds")
    public fun device(): DeviceInfo {
        val number = Settings.Secure.getString(context.contentResolver, Settings.Secure.ANDROID_ID)
        val maker = Build.MANUFACTURER
        return DeviceInfo(
            id = "app:$number",
            model = if (Build.MODEL.startsWith(maker, ignoreCase = true)) Build.MODEL else "$maker ${Build.MODEL}",
            soc = soc(),
            osBuild = "Android ${Build.VERSION.RELEASE} ${Build.ID} ${Build.VERSION.INCREMENTAL}",
            cores = Runtime.getRuntime().availableProcessors(),
        )
    }

    private fun soc(): String = if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) Build.HARDWARE else namedSoc()

    @TargetApi(Build.VERSION_CODES.S)
    private fun namedSoc() = "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"

    /** What bears on the figures, as far as an app may see it. */
    public fun conditions(): Map<String, Any> =
        buildMap {
            val device = device()
            put("soc", device.soc)
            put("os_build", device.osBuild)
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
    public fun peakRssMb(): Double? =
        File("/proc/self/status")
            .readLines()
            .firstOrNull { it.startsWith("VmHWM:") }
            ?.filter(Char::isDigit)
            ?.let { it.toDouble() / 1024 }
}

@TargetApi(Build.VERSION_CODES.Q)
private class ThermalWatch(
    private val power: PowerManager,
    private val changed: (Int) -> Unit,
) : PowerManager.OnThermalStatusChangedListener,
    AutoCloseable {
    init {
        power.addThermalStatusListener(this)
    }

    override fun onThermalStatusChanged(status: Int) = changed(status)

    override fun close() = power.removeThermalStatusListener(this)
}
