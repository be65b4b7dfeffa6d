package io.github.mnv4

import android.annotation.TargetApi
import android.os.Build
import io.github.mnv4.core.Mnv4Internal

/** Returns the model of this device's SoC, as in `SM8750`; empty before Android 12, which does not tell it. */
@Mnv4Internal
public fun socModel(): String = if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) "" else namedSocModel()

@TargetApi(Build.VERSION_CODES.S)
private fun namedSocModel() = Build.SOC_MODEL
