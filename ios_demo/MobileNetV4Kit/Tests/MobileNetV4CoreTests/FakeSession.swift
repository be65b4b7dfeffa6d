import Foundation

@testable import MobileNetV4Core

/// Stands in for a runtime: returns the artifact's outputs for the golden images, and the first
/// golden image's output for all others.
final class FakeSession: MobileNetV4.Session {
    let runtime = "fake 1"
    private let outputs: [[Data]]
    private let inputs: [Data]
    private let manifest: MobileNetV4.Manifest
    private let change: @Sendable ([[Float]]) throws -> [[Float]]
    private var index = 0

    /// - Parameter change: Changes the outputs, or fails, as a runtime might.
    init(
        _ bundle: MobileNetV4.ModelBundle,
        change: @escaping @Sendable ([[Float]]) throws -> [[Float]]
    ) throws {
        self.change = change
        manifest = bundle.manifest
        let golden = try MobileNetV4.Golden(bundle)
        let preprocessor = try MobileNetV4.Preprocessor(
            spec: manifest.preprocess, input: manifest.input)
        let images = try bundle.golden(.input)["pixels"]?.count ?? 0
        let count = images / (manifest.preprocess.height * manifest.preprocess.width * 3)
        inputs = try (0..<count).map { i in
            try preprocessor.feed(golden.image(i)) { Data($0) }
        }
        let values = try bundle.golden(.artifact)
        outputs = manifest.outputs.map { output in
            (0..<count).map { i in
                let data = values[output.name] ?? Data()
                return data.subdata(in: i * output.bytes..<(i + 1) * output.bytes)
            }
        }
    }

    func feed(_ input: UnsafeRawBufferPointer) throws {
        index = inputs.firstIndex(of: Data(input)) ?? 0
    }

    /// Suspends the caller, as an asynchronous runtime does, while other calls could change the input.
    func run(on actor: isolated any Actor) async throws -> [[Float]] {
        await Task.yield()
        return try change(
            try zip(manifest.outputs, outputs).map { output, values in
                try values[index].withUnsafeBytes { try output.floats($0) }
            })
    }
}

/// Loads the stand-in, and counts how often.
final class FakeLoader: MobileNetV4.SessionLoader, @unchecked Sendable {
    private let bundle: MobileNetV4.ModelBundle
    private let delay: Duration
    private let units: [MobileNetV4.Plan.Unit]
    private let change: @Sendable ([[Float]]) throws -> [[Float]]
    private let lock = NSLock()
    private var count = 0

    /// - Parameters:
    ///   - delay: How long a load takes.
    ///   - ranOn: The units that it says it ran on.
    ///   - change: Changes the outputs.
    init(
        _ bundle: MobileNetV4.ModelBundle, delay: Duration = .zero,
        ranOn units: [MobileNetV4.Plan.Unit] = [],
        change: @escaping @Sendable ([[Float]]) throws -> [[Float]] = { $0 }
    ) {
        self.bundle = bundle
        self.delay = delay
        self.units = units
        self.change = change
    }

    var conditions: [String: MobileNetV4.Condition] { ["compute_unit": .text("cpu_only")] }

    func ranOn() async -> [MobileNetV4.Plan.Unit] { units }

    var loads: Int { lock.withLock { count } }

    func load() async throws -> sending any MobileNetV4.Session {
        lock.withLock { count += 1 }
        try await Task.sleep(for: delay)
        return try FakeSession(bundle, change: change)
    }
}
