import Dispatch
import Foundation

extension MobileNetV4 {
    /// The state that a device reports while it measures.
    public protocol Device: Sendable {
        /// Returns the thermal state.
        func thermal() -> Thermal
        /// Returns other conditions that affect the figures.
        func conditions() async -> [String: Condition]
        /// Returns the peak memory of this process so far, in MiB; nil if it is not known.
        func peakRssMb() -> Double?
    }

    /// Measures one session of one bundle.
    public struct Benchmark: Sendable {
        /// Opens a bundle on the plan's unit, with the runtime that it is for.
        public typealias Opener = @Sendable (URL, Plan) async throws -> MobileNetV4

        private static let preprocessed = 20

        private let device: any Device
        private let open: Opener
        /// Receives a line for every step.
        public let say: @Sendable (String) -> Void

        /// Makes a benchmark on a device.
        ///
        /// - Parameters:
        ///   - device: Reports what affects the figures.
        ///   - open: Opens the bundle; called twice per session.
        ///   - say: Receives a line for every step.
        public init(
            device: any Device, open: @escaping Opener, say: @escaping @Sendable (String) -> Void
        ) {
            self.device = device
            self.open = open
            self.say = say
        }

        /// Runs the job in an app's documents and writes its result, a failure included.
        ///
        /// - Parameters:
        ///   - documents: The folder with `mnv4/job/job.json`.
        ///   - results: The folder in which `mnv4/result.json` is written.
        /// - Throws: An error of the file system if the result cannot be written.
        @discardableResult
        public func run(documents: URL, results: URL) async throws -> JobResult {
            let result: JobResult
            do {
                result = await run(try Job.read(documents))
            } catch {
                result = JobResult(job: "", status: .failed, error: "\(error)", samples: nil)
            }
            try result.write(results)
            say("\(result.status.rawValue) \(result.error ?? "")")
            return result
        }

        /// Runs a job and returns its result.
        public func run(_ job: Job) async -> JobResult {
            do {
                return JobResult(
                    job: job.id, status: .ok, error: nil, samples: try await measure(job))
            } catch Failure.wrongOutput(let wrong) {
                return JobResult(job: job.id, status: .wrong, error: wrong, samples: nil)
            } catch {
                return JobResult(job: job.id, status: .failed, error: "\(error)", samples: nil)
            }
        }

        private func measure(_ job: Job) async throws -> Samples {
            let plan = job.plan
            if plan.affinity != "none" {
                throw Failure.badPlan(
                    "plan: affinity: found '\(plan.affinity)', an app cannot choose its cores: none"
                )
            }
            let bundle = try ModelBundle(folder: job.bundle)
            let id = bundle.manifest.id
            let golden = try Golden(bundle)
            try await cool(plan.maxThermal)
            let before = device.thermal()
            say("\(id): load")
            let (coldMs, firstMs) = try await fresh(job, golden)
            let peak = device.peakRssMb()
            let model = try await open(job.bundle, plan)
            say("\(id): golden check")
            let sqnrDb = try await golden.check(model)
            for _ in 0..<plan.warmup { _ = try await model.runPixels(golden.image(0)) }
            say("\(id): \(plan.runs) runs")
            let (latencies, starts) = try await timed(model, golden.image(0), plan)
            return Samples(
                goldenSqnrDb: sqnrDb,
                loadColdMs: coldMs,
                loadWarmMs: await model.loadMs,
                firstMs: firstMs,
                latenciesMs: latencies,
                startsMs: starts,
                preprocessMs: try await preprocess(model),
                peakRssMb: peak,
                ranOn: await model.ranOn(),
                thermalBefore: before,
                thermalAfter: device.thermal(),
                versions: ["runtime": try await model.runtime],
                conditions: await device.conditions().merging(model.conditions) { $1 })
        }

        /// Measures the first load and the first inference of this process.
        private func fresh(_ job: Job, _ golden: Golden) async throws -> (Double, Double) {
            let model = try await open(job.bundle, job.plan)
            let first = try await model.runPixels(golden.image(0)).times.network
            return (await model.loadMs, first)
        }

        private func timed(
            _ model: MobileNetV4, _ pixels: [UInt8], _ plan: Plan
        ) async throws -> ([Double], [Double]) {
            var latencies: [Double] = []
            var starts: [Double] = []
            let begin = DispatchTime.now()
            while latencies.count < plan.runs
                || DispatchTime.now().ms(since: begin) < plan.seconds * 1000
            {
                let network = try await model.runPixels(pixels).times.network
                latencies.append(network)
                starts.append(DispatchTime.now().ms(since: begin) - network)
            }
            return (latencies, starts.map { max($0 - starts[0], 0) })
        }

        /// Times the way from the pixels of a decoded image of a camera's usual size to the input.
        private func preprocess(_ model: MobileNetV4) async throws -> [Double] {
            let bytes = Data((0..<640 * 480 * 4).map { UInt8(truncatingIfNeeded: $0) })
            let image = try PackedPixels(
                bytes: bytes, width: 640, height: 480, bytesPerRow: 640 * 4, format: .bgra)
            var found: [Double] = []
            for _ in 0..<Self.preprocessed {
                found.append(try await model.run(image).times.preprocess)
            }
            return found
        }

        /// Waits until the device is cool enough; only the app can see this.
        private func cool(_ most: ThermalStatus) async throws {
            while let status = device.thermal().status, status > most {
                say("is \(status.rawValue), waits to be \(most.rawValue)")
                try await Task.sleep(nanoseconds: 2_000_000_000)
            }
        }
    }
}
