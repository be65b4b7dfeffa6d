package io.github.mnv4.app

import android.content.Context
import android.os.Handler
import android.os.Looper
import io.github.mnv4.AssetFiles
import io.github.mnv4.Mnv4Model
import io.github.mnv4.MobileNetV4
import io.github.mnv4.core.Mnv4Exception
import io.github.mnv4.core.ModelBundle
import io.github.mnv4.measure.Measure
import io.github.mnv4.measure.Measurement
import io.github.mnv4.measure.Phone
import io.github.mnv4.measure.Plan
import io.github.mnv4.measure.Step
import io.github.mnv4.measure.WrongOutput
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.UUID
import java.util.concurrent.CancellationException
import kotlin.concurrent.thread

/** The benchmark that runs, or ran last; it outlives the screen that shows it. */
internal class BenchmarkRun(
    private val app: DemoApp,
) {
    /** What there is to show. */
    sealed interface State {
        data object Idle : State

        data class Running(
            val step: Step,
        ) : State

        data class Done(
            val measurement: Measurement,
        ) : State

        data class Failed(
            val why: String,
        ) : State
    }

    private val main = Handler(Looper.getMainLooper())

    // Not an interrupt, which closes the files that are being read.
    @Volatile
    private var cancelled = false

    var state: State = State.Idle
        private set

    /** Called at every change, on the main thread. */
    var changed: (State) -> Unit = {}

    /** Measures a model, as `mnv4 measure --plan quick` does. */
    fun start(
        model: Model,
        threads: Int,
    ) {
        set(State.Running(Step.LOAD))
        cancelled = false
        thread(name = "benchmark") {
            val end =
                try {
                    State.Done(measure(app, model, Plan(threads = threads)))
                } catch (error: Mnv4Exception) {
                    State.Failed(error.message.orEmpty())
                } catch (error: WrongOutput) {
                    State.Failed(error.message.orEmpty())
                } catch (_: CancellationException) {
                    State.Idle
                }
            main.post { set(end) }
        }
    }

    fun stop() {
        cancelled = true
    }

    private fun measure(
        context: Context,
        model: Model,
        plan: Plan,
    ): Measurement {
        app.models.release()
        val began = Instant.now().truncatedTo(ChronoUnit.SECONDS)
        val asset = Mnv4Model(model.id)
        val bundle = ModelBundle.open(AssetFiles(context, asset))
        val measure =
            Measure(context, { cancelled }) { step ->
                main.post { if (state is State.Running) set(State.Running(step)) }
            }
        val samples = measure.session(bundle, plan) { MobileNetV4.open(context, asset, it) }
        val id = UUID.randomUUID().toString()
        return Measurement(id, "app", bundle.manifest, Phone(context).device(), plan, began, samples)
    }

    private fun set(now: State) {
        state = now
        changed(now)
    }
}
