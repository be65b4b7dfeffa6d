import CoreAI
import Foundation
import MobileNetV4Kit

/// Runs the kit's code for Core AI. The stub stands in for Core AI, and returns what the artifact
/// returned on the machine that built it. The argument is the bundle's folder.
@main
struct CoreAIRun {
    static func main() async throws {
        let run = try CoreAIRun(URL(fileURLWithPath: CommandLine.arguments[1]))
        try await run.choosing()
        try await run.golden(run.edited, .float16)
        try await run.golden(run.pixels, .uint8)
        try await run.manyCallsAtOnce()
        try await run.automatic()
        try await run.failing()
        print("the kit's code for Core AI runs with a stand-in for Core AI")
    }

    /// The bundle as it was built, in resources as an app has them.
    let built: MobileNetV4.Model
    /// A copy for any system, because this one is none of Apple's.
    let edited: MobileNetV4.Model
    /// Another one, whose manifest says that it takes RGB bytes.
    let pixels: MobileNetV4.Model

    init(_ bundle: URL) throws {
        let files = FileManager.default
        let root = files.temporaryDirectory.appendingPathComponent("mnv4-\(UUID()).bundle")
        try files.createDirectory(
            at: root.appendingPathComponent("mnv4"), withIntermediateDirectories: true)
        try Data("<plist version=\"1.0\"><dict/></plist>".utf8)
            .write(to: root.appendingPathComponent("Info.plist"))
        for id in ["built", "edited", "pixels"] {
            try files.copyItem(at: bundle, to: root.appendingPathComponent("mnv4/\(id)"))
        }
        guard let resources = Bundle(url: root) else { throw CocoaError(.fileNoSuchFile) }
        built = MobileNetV4.Model(id: "built", in: resources)
        edited = MobileNetV4.Model(id: "edited", in: resources)
        pixels = MobileNetV4.Model(id: "pixels", in: resources)
        for model in [edited, pixels] {
            let file = model.folder.appendingPathComponent("manifest.json")
            guard
                var json = try JSONSerialization.jsonObject(with: Data(contentsOf: file))
                    as? [String: Any],
                var requires = json["requires"] as? [String: String],
                var input = (json["inputs"] as? [[String: Any]])?.first
            else { throw CocoaError(.fileReadCorruptFile) }
            precondition(requires["coreai.min_ios"] == "27")
            requires["coreai.min_ios"] = "1"
            if model == pixels {
                input["dtype"] = "uint8"
                input["shape"] = [1, 96, 96, 3]
                input["layout"] = "nhwc"
            }
            json["requires"] = requires
            json["inputs"] = [input]
            try JSONSerialization.data(withJSONObject: json).write(to: file)
        }
    }

    func choosing() async throws {
        compute()
        await refused("needs iOS 27") { try await MobileNetV4(built) }
        let asked = Asked()
        Computation.current.specialize = { url, options in
            asked.add(url.lastPathComponent, options.preferredComputeUnitKind)
        }
        let model = try await MobileNetV4(anyOf: [built, edited])
        check(model.manifest.target == "coreai")
        check(try await model.runtime.hasPrefix("coreai "))
        // Compiled before it is loaded, for the unit that the bundle was built for.
        check(asked.units == [.neuralEngine, .neuralEngine])
        check(asked.names.allSatisfy { $0.hasSuffix(".aimodel") })
        for (unit, wanted) in [
            (MobileNetV4.ComputeUnit.all, nil), (.cpuAndNeuralEngine, ComputeUnitKind.neuralEngine),
            (.cpuAndGPU, .gpu), (.cpuOnly, nil),
        ] {
            _ = try await MobileNetV4(edited, units: .only(unit))
            check(asked.units.last == .some(wanted))
        }
        await refused(
            "found 2 bundles, none can be opened here; conv-small-035-96x96-fp16-coreai: "
        ) {
            try await MobileNetV4(anyOf: [built, built])
        }
    }

    /// The units are chosen by running the network, and remembered.
    func automatic() async throws {
        let files = FileManager.default
        let support = files.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0]
        let kept = support.appendingPathComponent("mnv4/mnv4/choices")
        try? files.removeItem(at: kept)
        compute()
        let asked = Asked()
        Computation.current.specialize = { url, options in
            asked.add(url.lastPathComponent, options.preferredComputeUnitKind)
            if options.preferredComputeUnitKind == .gpu { throw CocoaError(.featureUnsupported) }
        }
        let model = try await MobileNetV4(edited, units: .auto)
        guard let choice = model.choice else { preconditionFailure("no choice") }
        check(choice.unit != .cpuAndGPU)
        check(
            choice.findings.map(\.verdict).filter { $0 == .failed || $0 == .fastest }.count == 2)
        check("\(choice)".contains("cpu_and_gpu: fails: "))
        // Compiled and loaded on three, tried on the fourth, then compiled and loaded again.
        check(asked.names.count == 3 * 2 + 1 + 2)
        let again = try await MobileNetV4(anyOf: [built, edited], units: .auto)
        check(again.choice == choice)
        check(files.fileExists(atPath: kept.path))
        check(asked.names.count == 3 * 2 + 1 + 2 + 2)
        let built = try await MobileNetV4(edited)
        check(built.choice == nil)
        // What no longer loads is chosen anew by the next opening.
        Computation.current.outputNames = nil
        await refused("the model has no function main") {
            try await MobileNetV4(edited, units: .auto)
        }
        await refused("no units of this device run it right; cpu_only: fails: ") {
            try await MobileNetV4(edited, units: .auto)
        }
    }

    func golden(_ constant: MobileNetV4.Model, _ type: NDArray.ScalarType) async throws {
        compute(constant, type)
        let model = try await MobileNetV4(constant)
        // float16 of this network; without the strides, the logits would be others.
        check(try await model.selfCheck() > 40)
    }

    func manyCallsAtOnce() async throws {
        compute()
        let bundle = try MobileNetV4.ModelBundle(folder: edited.folder)
        let golden = try MobileNetV4.Golden(bundle)
        let model = try await MobileNetV4(edited)
        let wanted = [
            try await model.runPixels(golden.image(0)).values,
            try await model.runPixels(golden.image(1)).values,
        ]
        check(wanted[0] != wanted[1])
        try await withThrowingTaskGroup(of: (Int, [[Float]]).self) { group in
            for i in 0..<32 {
                group.addTask { (i % 2, try await model.runPixels(golden.image(i % 2)).values) }
            }
            for try await (i, values) in group { check(values == wanted[i]) }
        }
    }

    func failing() async throws {
        struct Broken: LocalizedError { let errorDescription: String? = "of no use" }
        let id = "conv-small-035-96x96-fp16-coreai"
        compute()
        Computation.current.specialize = { _, _ in throw Broken() }
        await refused("\(id): Core AI cannot compile what coreai-torch ") {
            try await MobileNetV4(edited)
        }
        compute()
        Computation.current.outputNames = nil
        await refused("\(id): the model has no function main") {
            try await MobileNetV4(edited)
        }
        Computation.current.outputNames = ["other"]
        await refused("\(id): the manifest has an output logits, the model: other") {
            try await MobileNetV4(edited)
        }
        compute()
        let model = try await MobileNetV4(edited)
        for (outputs, wanted) in [
            ([:], "output logits: Core AI gave none"),
            (["logits": NDArray(shape: [10], scalarType: .float16)], "found [10], must be [1, 10]"),
            (
                ["logits": NDArray(shape: [1, 10], scalarType: .int32)],
                "found int32, allowed: floats"
            ),
            (
                [
                    "logits": NDArray(
                        shape: [1, 10], scalarType: .float16, strides: [10, 1],
                        interleaveLayout: .init(dimension: 1, factor: 2))
                ], "found interleaved channels"
            ),
        ] as [([String: NDArray], String)] {
            Computation.current.run = { _ in outputs }
            await refused(wanted) { try await model.prewarm() }
        }
        Computation.current.run = { _ in throw Broken() }
        await refused("\(id): Core AI cannot run it: of no use") { try await model.prewarm() }
        Computation.current.run = { _ in throw CancellationError() }
        do {
            try await model.prewarm()
            check(false)
        } catch { check(error is CancellationError) }
        // And nothing of this stays.
        compute()
        check(try await model.selfCheck() > 40)
    }

    /// Makes Core AI return the artifact's outputs for the golden images, with gaps between the
    /// elements, as the Neural Engine does. Another call may come while it computes.
    private func compute(
        _ model: MobileNetV4.Model? = nil, _ type: NDArray.ScalarType = .float16
    ) {
        let folder = (model ?? edited).folder
        Computation.current = Computation()
        Computation.current.outputNames = ["logits"]
        Computation.current.run = { inputs in
            await Task.yield()
            let bundle = try MobileNetV4.ModelBundle(folder: folder)
            let golden = try MobileNetV4.Golden(bundle)
            let spec = bundle.manifest.input
            let preprocessor = try MobileNetV4.Preprocessor(
                spec: bundle.manifest.preprocess, input: spec)
            guard let input = inputs[spec.name] else { return [:] }
            check(input.scalarType == type && input.shape == spec.shape)
            let found = input.rawView().withUnsafeBytes { start, _, _ in
                Data(bytes: start, count: spec.bytes)
            }
            // The first one for an image that is none of them.
            let index = try (0..<2).first { i in
                try preprocessor.feed(golden.image(i)) { Data($0) } == found
            }
            guard let logits = try bundle.golden(.artifact)["logits"] else { return [:] }
            var output = NDArray(shape: [1, 10], scalarType: .float16, strides: [640, 64])
            output.mutableRawView().withUnsafeMutableBytes { into, _, _ in
                for i in 0..<10 {
                    let at = 2 * (10 * (index ?? 0) + i)
                    let half = logits.withUnsafeBytes {
                        $0.loadUnaligned(fromByteOffset: at, as: UInt16.self)
                    }
                    into.storeBytes(of: half, toByteOffset: 2 * 64 * i, as: UInt16.self)
                }
            }
            return ["logits": output]
        }
    }
}

/// What the kit asked Core AI for.
final class Asked: @unchecked Sendable {
    private let lock = NSLock()
    private var both: [(String, ComputeUnitKind?)] = []

    var names: [String] { lock.withLock { both.map(\.0) } }
    var units: [ComputeUnitKind?] { lock.withLock { both.map(\.1) } }

    func add(_ name: String, _ unit: ComputeUnitKind?) {
        lock.withLock { both.append((name, unit)) }
    }
}
