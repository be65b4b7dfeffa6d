package io.github.mnv4.app

import android.app.Application

/** What all screens share. */
internal class DemoApp : Application() {
    val models by lazy { Models(this) }
    val benchmark by lazy { BenchmarkRun(this) }
}
