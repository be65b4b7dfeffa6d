import CoreML
import Foundation
import MobileNetV4Kit

/// Runs the kit's code for Core ML. The stub stands in for Core ML, and returns what each function of
/// the artifact returned on the machine that built it. The argument is the folder of a bundle that
/// takes 96 x 96 and 64 x 96 pixels.
@main
struct CoreMLRun {
    static func main() async throws {
        let run = try CoreMLRun(URL(fileURLWithPath: CommandLine.arguments[1]))
        try await run.inputSizes()
        try await run.automatic()
        try await run.failing()
        print("the kit's code for Core ML runs with a stand-in for Core ML")
    }

    /// A copy for any system, because this one is none of Apple's.
    let folder: URL
    /// The input sizes, and the function for each; nil is the model's default.
    static let functions: [(size: MobileNetV4.InputSize, name: String?)] = [
        (.init(height: 96, width: 96), nil), (.init(height: 64, width: 96), "size_64x96"),
    ]

    init(_ bundle: URL) throws {
        let files = FileManager.default
        folder = files.temporaryDirectory.appendingPathComponent("mnv4-\(UUID())")
        try files.copyItem(at: bundle, to: folder)
        let file = folder.appendingPathComponent("manifest.json")
        guard
            var json = try JSONSerialization.jsonObject(with: Data(contentsOf: file))
                as? [String: Any],
            var requires = json["requires"] as? [String: String]
        else { throw CocoaError(.fileReadCorruptFile) }
        precondition(requires["coreml.min_ios"] == "18")
        requires["coreml.min_ios"] = "1"
        json["requires"] = requires
        try JSONSerialization.data(withJSONObject: json).write(to: file)
    }

    /// Each size has a function of its own, golden pairs of its own and the input's shape.
    func inputSizes() async throws {
        try compute()
        for (size, name) in Self.functions {
            let model = try await MobileNetV4(folder: folder, inputSize: size)
            check(model.manifest.inputSize == size)
            check(try await model.selfCheck() > 40)
            try await model.prewarm()
            check(model.manifest.inputSizes == Self.functions.map(\.size))
            guard let name else { continue }
            // What `mnv4 build` called it.
            let program = try ModelBundle(folder: folder).artifact
                .appendingPathComponent("Data/com.apple.CoreML/model.mlmodel")
            check(try Data(contentsOf: program).range(of: Data(name.utf8)) != nil)
        }
        let model = try await MobileNetV4(folder: folder)
        check(model.manifest.preprocess.size == [96, 96])
        check(try await model.selfCheck() > 40)
    }

    /// The units are chosen with the golden pairs of the size.
    func automatic() async throws {
        try compute()
        for (size, _) in Self.functions {
            let model = try await MobileNetV4(folder: folder, units: .auto, inputSize: size)
            check(model.choice?.findings.allSatisfy { $0.medianMs != nil } == true)
            check(try await model.selfCheck() > 40)
        }
    }

    func failing() async throws {
        try compute()
        let id = "conv-small-035-96x96_64x96-fp32-coreml"
        let other = MobileNetV4.InputSize(height: 128, width: 128)
        let why = "\(id): input size: found 128x128, allowed: 96x96, 64x96"
        await refused(why) { try await MobileNetV4(folder: folder, inputSize: other) }
        await refused(why) {
            try await MobileNetV4.operators(folder: folder, inputSize: other)
        }
        Prediction.current.outputNames = ["other"]
        await refused("\(id): the manifest has an output logits, the model: other") {
            try await MobileNetV4(folder: folder, inputSize: Self.functions[1].size)
        }
    }

    /// Makes each function return the artifact's outputs for the golden images of its size.
    private func compute() throws {
        Prediction.current.outputNames = ["logits"]
        Prediction.current.run = { [folder] name, inputs in
            guard let size = Self.functions.first(where: { $0.name == name })?.size else {
                preconditionFailure("no function \(name ?? "for the default size")")
            }
            let bundle = try ModelBundle(folder: folder, inputSize: size)
            let golden = try MobileNetV4.Golden(bundle)
            let spec = bundle.manifest.input
            let preprocessor = try MobileNetV4.Preprocessor(
                spec: bundle.manifest.preprocess, input: spec)
            guard let input = inputs.featureValue(for: spec.name)?.multiArrayValue else {
                preconditionFailure("no input \(spec.name)")
            }
            check(input.shape.map(\.intValue) == spec.shape)
            let found = input.withUnsafeBytes { Data($0) }
            // The first one for an image that is none of them.
            let index = try (0..<2).first { i in
                try preprocessor.feed(golden.image(i)) { Data($0) } == found
            }
            let output = try MLMultiArray(shape: [1, 10], dataType: .float32)
            guard let logits = try bundle.golden(.artifact)["logits"] else { return inputs }
            let begin = 4 * 10 * (index ?? 0)
            output.withUnsafeMutableBytes { into, _ in
                into.copyBytes(from: logits[begin..<begin + 4 * 10])
            }
            return try MLDictionaryFeatureProvider(
                dictionary: ["logits": MLFeatureValue(multiArray: output)])
        }
    }

    private typealias ModelBundle = MobileNetV4.ModelBundle
}
