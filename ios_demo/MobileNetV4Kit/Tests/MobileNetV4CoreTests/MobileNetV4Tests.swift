import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests the actor, with a stand-in for the runtime.
struct MobileNetV4Tests {
    private func open(
        _ folder: URL = Fixtures.bundle(Fixtures.float32), unloadOn: Notification.Name? = nil,
        delay: Duration = .zero
    ) async throws -> (MobileNetV4, FakeLoader) {
        let bundle = try MobileNetV4.ModelBundle(folder: folder)
        let loader = FakeLoader(bundle, delay: delay)
        let model = try await MobileNetV4(
            bundle: bundle, loader: loader, unloadOn: unloadOn)
        return (model, loader)
    }

    @Test func classifiesManyAtOnce() async throws {
        let (model, loader) = try await open()
        let bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float32))
        let golden = try MobileNetV4.Golden(bundle)
        let eager = try #require(try bundle.golden(.eager)["logits"])
        let wanted = eager.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        try await withThrowingTaskGroup(of: (Int, [MobileNetV4.Classification]).self) { group in
            for i in 0..<32 {
                group.addTask {
                    (i % 2, try await model.runPixels(golden.image(i % 2)).top(3))
                }
            }
            for try await (i, top) in group {
                let logits = Array(wanted[i * 10..<(i + 1) * 10])
                let labels = try #require(bundle.manifest.labels)
                let best = Scores.top(logits, count: 1, labels: labels)[0]
                #expect(top.count == 3)
                #expect(top[0].label == best.label)
            }
        }
        #expect(loader.loads == 1)
        #expect(try await model.runtime == "fake 1")
    }

    @Test func anImageOfAnySizeAndItsOutputs() async throws {
        let (model, _) = try await open()
        try await model.prewarm()
        let outputs = try await model.run(Blank(width: 320, height: 200))
        #expect(try outputs.top(2).count == 2)
        #expect(abs(try #require(outputs.probabilities).reduce(0, +) - 1) < 1e-5)
        #expect(outputs.embedding == nil)
        #expect(outputs.featureMaps.isEmpty)
        #expect(outputs.times.preprocess > 0)
        let classes = try await model.classify(Blank(width: 10, height: 10), top: 1)
        #expect(classes.count == 1)
        let refused = await message { try await model.classify(Blank(width: 0, height: 0)) }
        #expect(refused.contains("found 0 x 0 pixels"))
    }

    @Test func aFurtherInputSize() async throws {
        let bundle = try MobileNetV4.ModelBundle(
            folder: Fixtures.bundle(Fixtures.float32), inputSize: .init(height: 64, width: 96))
        let model = try await MobileNetV4(bundle: bundle, loader: FakeLoader(bundle))
        #expect(model.manifest.preprocess.size == [64, 96])
        try await model.prewarm()
        #expect(try await model.selfCheck() > 20)
        #expect(try await model.classify(Blank(width: 320, height: 200), top: 1).count == 1)
    }

    @Test func withoutClassesAndWithoutLabels() async throws {
        let plain = try Fixtures.edited(Fixtures.float32) { $0["labels"] = NSNull() }
        let (model, _) = try await open(plain)
        let top = try await model.classify(Blank(width: 10, height: 10), top: 1)
        #expect(top[0].label == "\(top[0].index)")

        let features = try Fixtures.edited(Fixtures.float32) { manifest in
            guard var output = (manifest["outputs"] as? [[String: Any]])?.first else { return }
            output["kind"] = "embedding"
            manifest["outputs"] = [output]
        }
        let (other, _) = try await open(features)
        let outputs = try await other.run(Blank(width: 10, height: 10))
        #expect(outputs.embedding?.count == 10)
        #expect(message { try outputs.top(1) }.contains("has no classes, only embedding"))
    }

    @Test func outputsThatAreNotThoseOfTheManifest() async throws {
        let bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float32))
        let changes: [(String, @Sendable ([[Float]]) -> [[Float]])] = [
            ("the runtime gave 0 outputs, must be 1", { _ in [] }),
            ("the runtime gave 2 outputs, must be 1", { $0 + $0 }),
            (
                "output logits: the runtime gave 9 values, must be 10 for the shape [1, 10]",
                { [Array($0[0].dropLast())] }
            ),
            ("output logits: the runtime gave 11 values", { [$0[0] + [0]] }),
            ("output logits: the runtime gave 0 values", { _ in [[]] }),
        ]
        for (wanted, change) in changes {
            let model = try await MobileNetV4(
                bundle: bundle, loader: FakeLoader(bundle, change: change))
            for call: () async throws -> Any in [
                { try await model.classify(Blank(width: 10, height: 10)) },
                { try await model.selfCheck() },
            ] {
                let said = await message(call)
                #expect(said.contains(wanted), "\(said)")
            }
        }
        // Values that are no numbers have no order, and are no error of the runtime.
        let model = try await MobileNetV4(
            bundle: bundle, loader: FakeLoader(bundle) { $0.map { $0.map { _ in .nan } } })
        #expect(try await model.classify(Blank(width: 10, height: 10)).isEmpty)
        await #expect(throws: MobileNetV4.Failure.self) { try await model.selfCheck() }
    }

    @Test func memoryThatRunsOut() async throws {
        let name = Notification.Name("mnv4.test.\(UUID())")
        let (model, loader) = try await open(unloadOn: name)
        try await model.prewarm()
        #expect(loader.loads == 1)
        NotificationCenter.default.post(name: name, object: nil)
        for _ in 0..<200 where loader.loads == 1 {
            try await Task.sleep(nanoseconds: 5_000_000)
            try await model.prewarm()
        }
        #expect(loader.loads == 2)
        await model.unload()
        try await model.prewarm()
        #expect(loader.loads == 3)
    }

    @Test func oneLoadForManyCallers() async throws {
        let (model, loader) = try await open(delay: .milliseconds(50))
        await model.unload()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { try await model.prewarm() } }
            // Refused while calls wait for the load, and done after the last of them.
            group.addTask {
                try await Task.sleep(for: .milliseconds(20))
                await model.unload()
            }
            try await group.waitForAll()
        }
        #expect(loader.loads == 2)
        try await model.prewarm()
        #expect(loader.loads == 3)
    }

    @Test func aLoadSurvivesTheCallerThatIsCancelled() async throws {
        let (model, loader) = try await open(delay: .milliseconds(50))
        await model.unload()
        let first = Task { try await model.classify(Blank(width: 10, height: 10)) }
        try await Task.sleep(for: .milliseconds(10))
        let second = Task { try await model.classify(Blank(width: 10, height: 10)) }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(try await second.value.count == 5)
        #expect(loader.loads == 2)
    }

    @Test func aCancelledCallStopsBeforePreparingAndBeforeRunning() async throws {
        let (model, _) = try await open()
        let reads = Counter()
        // Cancelled before it begins: nothing of the image is read.
        let early = Task {
            try? await Task.sleep(for: .seconds(60))
            return try await model.classify(Watched(reads: reads) {})
        }
        early.cancel()
        await #expect(throws: CancellationError.self) { try await early.value }
        #expect(reads.count == 0)
        // Cancelled by its own image while it is prepared: the network does not run.
        let late = Task {
            let image = Watched(reads: reads) { withUnsafeCurrentTask { $0?.cancel() } }
            return try await model.classify(image)
        }
        await #expect(throws: CancellationError.self) { try await late.value }
        #expect(reads.count > 0)
        #expect(try await model.classify(Blank(width: 10, height: 10)).count == 5)
    }
}

/// Counts from any thread.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var value = 0

    var count: Int { lock.withLock { value } }

    func add() { lock.withLock { value += 1 } }
}

/// A black image that says when it is read.
private struct Watched: MobileNetV4.PixelSource {
    let width = 10
    let height = 10
    let orientation = MobileNetV4.Orientation.upright
    let reads: Counter
    let call: @Sendable () -> Void

    init(reads: Counter, call: @escaping @Sendable () -> Void) {
        self.reads = reads
        self.call = call
    }

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        reads.add()
        call()
        into.update(repeating: 0, count: width * height)
    }
}
