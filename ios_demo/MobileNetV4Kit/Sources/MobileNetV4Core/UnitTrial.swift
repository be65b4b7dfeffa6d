import Foundation

/// Tries units on this device, each with a time limit.
struct UnitTrial: Sendable {
    /// Makes a loader for units, and compiles the artifact for them.
    typealias Opener =
        @Sendable (MobileNetV4.ComputeUnit) async throws -> any MobileNetV4.SessionLoader
    /// Returns when the time for units is over.
    typealias Limit = @Sendable (MobileNetV4.ComputeUnit) async throws -> Void
    /// Returns the latency of a run on units in milliseconds.
    typealias Latency =
        @Sendable (MobileNetV4.ComputeUnit, MobileNetV4.Outputs.Times) -> Double
    typealias Finding = MobileNetV4.UnitChoice.Finding

    /// The number of timed runs.
    static let runs = 20
    /// The seconds for all of compiling, loading and running. Loading for the Neural Engine takes
    /// longest, and is a matter of seconds.
    static let seconds = 30

    private struct Hung: Error {}

    let bundle: MobileNetV4.ModelBundle
    let golden: MobileNetV4.Golden
    let open: Opener
    let limit: Limit
    let latency: Latency

    /// Runs the network on units.
    ///
    /// What hangs cannot be ended: its thread and memory stay with the process.
    ///
    /// - Returns: A finding with a latency and the verdict `slower` if all was right: which units are
    ///   the fastest is not known yet.
    /// - Throws: `CancellationError` if the task is cancelled.
    func finding(on unit: MobileNetV4.ComputeUnit) async throws -> Finding {
        do {
            return try await limited(unit) { try await run(on: unit) }
        } catch is Hung {
            return Finding(unit, .hung, reason: "hangs: no result within \(Self.seconds) s")
        } catch MobileNetV4.Failure.wrongOutput(let why) {
            return Finding(unit, .wrong, reason: "wrong: \(why)")
        } catch  where !Task.isCancelled {
            return Finding(unit, .failed, reason: "fails: \(error)")
        }
    }

    private func run(on unit: MobileNetV4.ComputeUnit) async throws -> Finding {
        let loader = try await open(unit)
        let model = try await MobileNetV4(bundle: bundle, loader: loader)
        if unit != .cpuOnly, await loader.ranOn() == [.cpu] {
            let why = "fails: the runtime says that it would run all of it on the CPU"
            return Finding(unit, .failed, reason: why)
        }
        let outputs = try await golden.outputs(of: model)
        _ = try golden.check(outputs)
        var latencies: [Double] = []
        for run in 0..<Self.runs {
            // The images take turns: an output that lags behind its input is another one, too.
            let index = run % outputs.count
            let again = try await model.runPixels(golden.image(index))
            guard again.values == outputs[index] else {
                let why = "flaky: image \(index) gave other outputs in run \(run + 1)"
                return Finding(unit, .flaky, reason: why)
            }
            latencies.append(latency(unit, again.times))
        }
        let median = MobileNetV4.Statistics(latencies)?.percentile(50)
        return Finding(unit, .slower, reason: "", medianMs: median)
    }

    /// Returns what `work` returns, or throws ``Hung`` if the time is over before.
    private func limited(
        _ unit: MobileNetV4.ComputeUnit, _ work: @escaping @Sendable () async throws -> Finding
    ) async throws -> Finding {
        let (ends, end) = AsyncStream.makeStream(of: Result<Finding, any Error>.self)
        // No task group: it would wait for what hangs.
        let working = Task {
            do {
                end.yield(.success(try await work()))
            } catch {
                end.yield(.failure(error))
            }
        }
        let timing = Task {
            try await limit(unit)
            end.yield(.failure(Hung()))
        }
        defer {
            working.cancel()
            timing.cancel()
        }
        for await first in ends { return try first.get() }
        throw CancellationError()
    }
}
