@preconcurrency import CoreML
import CoreVideo
import Foundation

extension MobileNetV4.ComputeUnit {
    /// Core ML's own value for the units.
    public var units: MLComputeUnits {
        switch self {
        case .all: return .all
        case .cpuAndNeuralEngine: return .cpuAndNeuralEngine
        case .cpuAndGPU: return .cpuAndGPU
        case .cpuOnly: return .cpuOnly
        }
    }
}

/// Loads a bundle into Core ML.
struct CoreMLLoader: SystemLoader {
    let bundle: MobileNetV4.ModelBundle
    /// The bundle's artifact, compiled.
    let compiled: CompiledModel
    /// The units that Core ML may use.
    var unit: MobileNetV4.ComputeUnit

    /// Checks a bundle and makes its loader.
    ///
    /// - Throws: ``Failure`` if the bundle is damaged, for another runtime, or for a newer system.
    init(_ bundle: MobileNetV4.ModelBundle, computeUnit: MobileNetV4.ComputeUnit?) throws {
        try bundle.check(targets: "coreml")
        try bundle.checkForThisSystem()
        self.bundle = bundle
        compiled = CompiledModel(bundle)
        unit = try MobileNetV4.ComputeUnit.chosen(
            computeUnit, for: bundle.manifest, simulator: MobileNetV4.Plan.Unit.isSimulated)
    }

    func compile() async throws {
        _ = try await compiled.url()
    }

    func load() async throws -> sending any MobileNetV4.Session {
        try CoreMLSession(bundle.manifest, await compiled.load(for: unit.units))
    }
}

/// Core ML with a model loaded.
final class CoreMLSession: MobileNetV4.Session {
    private let manifest: MobileNetV4.Manifest
    private let model: MLModel
    private let input: any CoreMLInput
    private let features: MLDictionaryFeatureProvider

    init(_ manifest: MobileNetV4.Manifest, _ model: MLModel) throws {
        self.manifest = manifest
        self.model = model
        let spec = manifest.input
        let takesPixels = spec.dtype == .uint8 && spec.quantization == nil
        input = takesPixels ? try ImageInput(spec) : try ArrayInput(spec)
        features = try MLDictionaryFeatureProvider(dictionary: [spec.name: input.value])
        let known = Set(model.modelDescription.outputDescriptionsByName.keys)
        for output in manifest.outputs where !known.contains(output.name) {
            throw MobileNetV4.Failure.badBundle(
                "\(manifest.id): the manifest has an output \(output.name), the model: "
                    + known.sorted().joined(separator: ", "))
        }
    }

    var runtime: String {
        "coreml \(ProcessInfo.processInfo.operatingSystemVersion.text)"
    }

    func feed(_ bytes: UnsafeRawBufferPointer) throws {
        try input.fill(bytes)
    }

    func run(on actor: isolated any Actor) async throws -> [[Float]] {
        try predict()
    }

    /// Blocks, unlike the prediction that Swift chooses in an asynchronous function, which needs iOS
    /// 17.
    private func predict() throws -> [[Float]] {
        let found: any MLFeatureProvider
        do {
            found = try model.prediction(from: features)
        } catch {
            throw MobileNetV4.Failure.runtimeFailed(
                "\(manifest.id): Core ML cannot run it: \(error.localizedDescription)")
        }
        return try manifest.outputs.map { try values($0, found.featureValue(for: $0.name)) }
    }

    private func values(_ output: MobileNetV4.TensorSpec, _ value: MLFeatureValue?) throws
        -> [Float]
    {
        if let array = value?.multiArrayValue {
            return try output.floats(array)
        }
        // A classifier returns its probabilities by label.
        if let labels = manifest.labels, let scores = value?.dictionaryValue, !scores.isEmpty {
            return try labels.map { label in
                guard let score = scores[AnyHashable(label)] else {
                    throw MobileNetV4.Failure.runtimeFailed(
                        "\(manifest.id): output \(output.name): has no class '\(label)'")
                }
                return score.floatValue
            }
        }
        throw MobileNetV4.Failure.runtimeFailed(
            "\(manifest.id): output \(output.name): Core ML gave none")
    }
}

extension MobileNetV4.TensorSpec {
    /// Returns a Core ML array as floats.
    func floats(_ array: MLMultiArray) throws -> [Float] {
        let type: MobileNetV4.ElementType
        switch array.dataType {
        case .float32: type = .float32
        case .float16: type = .float16
        case _ where array.dataType.rawValue == MLMultiArrayDataType.int8Value: type = .int8
        default:
            throw MobileNetV4.Failure.runtimeFailed(
                "output \(name): found \(array.dataType), allowed: floats and int8")
        }
        return try array.withUnsafeBytes {
            try floats(
                $0, of: type, shape: array.shape.map(\.intValue),
                strides: array.strides.map(\.intValue))
        }
    }
}

extension MLMultiArrayDataType {
    /// The value of `int8`, which only the SDKs of Xcode 26 and later have by name.
    fileprivate static let int8Value = 0x20008
}

/// Memory that Core ML reads its input from, kept from run to run.
private protocol CoreMLInput {
    var value: MLFeatureValue { get }
    func fill(_ bytes: UnsafeRawBufferPointer) throws
}

/// An input of floats, or of integers that stand for floats.
private struct ArrayInput: CoreMLInput {
    private let array: MLMultiArray

    init(_ spec: MobileNetV4.TensorSpec) throws {
        let type: MLMultiArrayDataType
        switch spec.dtype {
        case .float32: type = .float32
        case .float16: type = .float16
        case .int8:
            guard #available(iOS 26.0, macOS 26.0, tvOS 26.0, visionOS 26.0, *),
                let int8 = MLMultiArrayDataType(rawValue: MLMultiArrayDataType.int8Value)
            else {
                throw MobileNetV4.Failure.unsupported(
                    "manifest.json: inputs: found int8, which Core ML has from iOS 26 on")
            }
            type = int8
        case .uint8:
            throw MobileNetV4.Failure.badBundle(
                "manifest.json: inputs: found uint8 that stands for floats, Core ML has int8, "
                    + "float16 and float32")
        }
        array = try MLMultiArray(shape: spec.shape.map { NSNumber(value: $0) }, dataType: type)
    }

    var value: MLFeatureValue { MLFeatureValue(multiArray: array) }

    func fill(_ bytes: UnsafeRawBufferPointer) {
        array.withUnsafeMutableBytes { into, _ in into.copyMemory(from: bytes) }
    }
}

/// An input of RGB bytes, which Core ML takes as an image.
private struct ImageInput: CoreMLInput {
    private let buffer: CVPixelBuffer

    init(_ spec: MobileNetV4.TensorSpec) throws {
        guard spec.layout == .nhwc, spec.shape.count == 4 else {
            throw MobileNetV4.Failure.badBundle("manifest.json: inputs: an image must be nhwc")
        }
        var made: CVPixelBuffer?
        // The Neural Engine and the GPU can share a buffer only if an IOSurface backs it.
        let attributes = [kCVPixelBufferIOSurfacePropertiesKey: [String: Any]() as CFDictionary]
        let status = CVPixelBufferCreate(
            nil, spec.shape[2], spec.shape[1], kCVPixelFormatType_32BGRA,
            attributes as CFDictionary, &made)
        guard status == kCVReturnSuccess, let made else {
            throw MobileNetV4.Failure.runtimeFailed(
                "Core Video cannot make an image: code \(status)")
        }
        buffer = made
    }

    var value: MLFeatureValue { MLFeatureValue(pixelBuffer: buffer) }

    func fill(_ bytes: UnsafeRawBufferPointer) throws {
        guard CVPixelBufferLockBaseAddress(buffer, []) == kCVReturnSuccess,
            let base = CVPixelBufferGetBaseAddress(buffer)
        else { throw MobileNetV4.Failure.runtimeFailed("Core Video cannot lock an image") }
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        let (width, height) = (CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer))
        let row = CVPixelBufferGetBytesPerRow(buffer)
        let into = UnsafeMutableRawBufferPointer(start: base, count: row * height)
        for y in 0..<height {
            for x in 0..<width {
                let (from, to) = (3 * (y * width + x), row * y + 4 * x)
                into[to] = bytes[from + 2]
                into[to + 1] = bytes[from + 1]
                into[to + 2] = bytes[from]
                into[to + 3] = 255
            }
        }
    }
}
