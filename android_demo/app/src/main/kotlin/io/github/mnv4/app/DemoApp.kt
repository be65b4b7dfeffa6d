package io.github.mnv4.app

import android.app.Application
import kotlinx.coroutines.MainScope

/** What all screens share. */
internal class DemoApp : Application() {
    /** Runs what outlives a screen. */
    val scope = MainScope()
    val models by lazy { Models(this) }
    val benchmark by lazy { BenchmarkRun(this) }
}
