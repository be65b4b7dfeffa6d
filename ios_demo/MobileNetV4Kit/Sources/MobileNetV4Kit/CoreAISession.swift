// The SDK of the Simulator has no Core AI, nor has Xcode before version 27.
#if canImport(CoreAI)
    import CoreAI
    import Foundation

    /// Loads a bundle into Core AI.
    @available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
    struct CoreAILoader: SystemLoader {
        /// The name of the function in every asset of this project.
        private static let function = "main"

        let bundle: MobileNetV4.ModelBundle
        var unit: MobileNetV4.ComputeUnit

        /// Makes the loader of a bundle that was checked.
        init(_ bundle: MobileNetV4.ModelBundle, computeUnit: MobileNetV4.ComputeUnit?) throws {
            self.bundle = bundle
            unit = try MobileNetV4.ComputeUnit.chosen(
                computeUnit, for: bundle.manifest, simulator: MobileNetV4.Plan.Unit.isSimulated)
        }

        private var options: SpecializationOptions {
            switch unit {
            case .all: return .default
            case .cpuAndNeuralEngine:
                return SpecializationOptions(preferredComputeUnitKind: .neuralEngine)
            case .cpuAndGPU: return SpecializationOptions(preferredComputeUnitKind: .gpu)
            case .cpuOnly: return .cpuOnly
            }
        }

        /// Compiles the asset for this device. Core AI keeps the result in a cache of its own.
        func compile() async throws {
            do {
                try await AIModel.specialize(contentsOf: bundle.artifact, options: options)
            } catch {
                throw failure("compile", error)
            }
        }

        func load() async throws -> sending any MobileNetV4.Session {
            let function: InferenceFunction?
            do {
                let model = try await AIModel(contentsOf: bundle.artifact, options: options)
                function = try model.loadFunction(named: Self.function)
            } catch {
                throw failure("load", error)
            }
            guard let function else {
                throw MobileNetV4.Failure.badBundle(
                    "\(bundle.manifest.id): the model has no function \(Self.function)")
            }
            return try CoreAISession(bundle.manifest, function)
        }

        private func failure(_ what: String, _ error: any Error) -> any Error {
            if error is CancellationError { return error }
            // The format has versions, and a system does not read all of them.
            let tools = bundle.manifest.requires["coreai.converter"] ?? "unknown tools"
            return MobileNetV4.Failure.runtimeFailed(
                "\(bundle.manifest.id): Core AI cannot \(what) what \(tools) wrote: "
                    + error.localizedDescription)
        }
    }

    /// Core AI with a function loaded.
    @available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
    final class CoreAISession: MobileNetV4.Session {
        private let manifest: MobileNetV4.Manifest
        private let function: InferenceFunction
        /// Kept from run to run, so that Core AI maps its memory once.
        private var input: NDArray

        init(_ manifest: MobileNetV4.Manifest, _ function: InferenceFunction) throws {
            self.manifest = manifest
            self.function = function
            let spec = manifest.input
            input = NDArray(shape: spec.shape, scalarType: spec.dtype.scalarType)
            let known = Set(function.descriptor.outputNames)
            for output in manifest.outputs where !known.contains(output.name) {
                throw MobileNetV4.Failure.badBundle(
                    "\(manifest.id): the manifest has an output \(output.name), the model: "
                        + known.sorted().joined(separator: ", "))
            }
        }

        var runtime: String {
            "coreai \(ProcessInfo.processInfo.operatingSystemVersion.text)"
        }

        func feed(_ bytes: UnsafeRawBufferPointer) throws {
            guard let from = bytes.baseAddress, bytes.count == manifest.input.bytes else {
                throw MobileNetV4.Failure.runtimeFailed(
                    "\(manifest.id): input: found \(bytes.count) bytes, must be "
                        + "\(manifest.input.bytes)")
            }
            // An array that is made from its shape has no gaps.
            input.mutableRawView().withUnsafeMutableBytes { into, _, _ in
                into.copyMemory(from: from, byteCount: bytes.count)
            }
        }

        func run(on actor: isolated any Actor) async throws -> [[Float]] {
            do {
                var found = try await function.run(inputs: [manifest.input.name: input])
                return try manifest.outputs.map { output in
                    guard let array = found.remove(output.name)?.ndArray else {
                        throw MobileNetV4.Failure.runtimeFailed(
                            "\(manifest.id): output \(output.name): Core AI gave none")
                    }
                    return try output.floats(array)
                }
            } catch let error where !(error is MobileNetV4.Failure || error is CancellationError) {
                throw MobileNetV4.Failure.runtimeFailed(
                    "\(manifest.id): Core AI cannot run it: \(error.localizedDescription)")
            }
        }
    }

    extension MobileNetV4.ElementType {
        @available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
        fileprivate var scalarType: NDArray.ScalarType {
            switch self {
            case .float32: return .float32
            case .float16: return .float16
            case .int8: return .int8
            case .uint8: return .uint8
            }
        }
    }

    extension MobileNetV4.TensorSpec {
        @available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
        fileprivate func floats(_ array: NDArray) throws -> [Float] {
            let type: MobileNetV4.ElementType
            switch array.scalarType {
            case .float32: type = .float32
            case .float16: type = .float16
            default:
                throw MobileNetV4.Failure.runtimeFailed(
                    "output \(name): found \(array.scalarType), allowed: floats")
            }
            guard array.interleaveLayout == nil else {
                throw MobileNetV4.Failure.runtimeFailed(
                    "output \(name): found interleaved channels, which this library cannot read")
            }
            let last = zip(array.shape, array.strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
            return try array.rawView().withUnsafeBytes { start, _, _ in
                let bytes = UnsafeRawBufferPointer(start: start, count: (last + 1) * type.bytes)
                return try floats(bytes, of: type, shape: array.shape, strides: array.strides)
            }
        }
    }
#endif
