package io.github.mnv4.app

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
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.UUID
import java.util.concurrent.CancellationException

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

    private var job: Job? = null

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
        job =
            // Begun at once, so that it also ends with a state if it is cancelled at once.
            app.scope.launch(start = CoroutineStart.UNDISPATCHED) {
                val end =
                    try {
                        State.Done(app.models.alone { measure(model, Plan(threads = threads)) })
                    } catch (error: Mnv4Exception) {
                        State.Failed(error.message.orEmpty())
                    } catch (_: CancellationException) {
                        State.Idle
                    }
                set(end)
            }
    }

    fun stop() {
        job?.cancel()
    }

    private suspend fun measure(
        model: Model,
        plan: Plan,
    ): Measurement =
        withContext(Dispatchers.Default) {
            val began = Instant.now().truncatedTo(ChronoUnit.SECONDS)
            val asset = Mnv4Model(model.id)
            val bundle = ModelBundle.open(AssetFiles(app, asset))
            val measure = Measure(app, { !isActive }) { app.scope.launch { if (isRunning) set(State.Running(it)) } }
            val samples = measure.session(bundle, plan) { MobileNetV4.open(app, asset, it) }
            val id = UUID.randomUUID().toString()
            Measurement(id, "app", bundle.manifest, Phone(app).device(), plan, began, samples)
        }

    private val isRunning get() = state is State.Running

    private fun set(now: State) {
        state = now
        changed(now)
    }
}
