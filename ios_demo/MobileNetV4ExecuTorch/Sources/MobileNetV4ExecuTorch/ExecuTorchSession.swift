@preconcurrency import ExecuTorch
import Foundation
import MobileNetV4Kit

extension MobileNetV4 {
    /// Opens a bundle for ExecuTorch from a package's resources.
    ///
    /// - Parameters:
    ///   - model: A constant of a package that `mnv4 sdk ios` wrote.
    ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default.
    /// - Throws: ``Failure`` if the bundle cannot be used or ExecuTorch fails.
    public init(executorch model: Model, inputSize: InputSize? = nil) async throws {
        try await self.init(executorch: model.folder, inputSize: inputSize)
    }

    /// Opens a bundle for ExecuTorch in any folder, for example one that was downloaded.
    ///
    /// - Parameters:
    ///   - folder: The bundle's folder.
    ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default.
    /// - Throws: ``Failure`` if the bundle cannot be used or ExecuTorch fails.
    public init(executorch folder: URL, inputSize: InputSize? = nil) async throws {
        let bundle = try ModelBundle(folder: folder, inputSize: inputSize)
        try bundle.check(targets: "executorch")
        try bundle.checkArtifact()
        try await self.init(
            bundle: bundle, loader: ExecuTorchLoader(bundle: bundle),
            unloadOn: .memoryWarning)
    }
}

/// Loads a bundle into ExecuTorch.
struct ExecuTorchLoader: MobileNetV4.SessionLoader {
    let bundle: MobileNetV4.ModelBundle

    func load() async throws -> sending any MobileNetV4.Session {
        try ExecuTorchSession(bundle)
    }
}

/// Runs a program in ExecuTorch, with the program's XNNPACK delegate.
final class ExecuTorchSession: MobileNetV4.Session {
    /// The version is the package's, because ExecuTorch's Swift API does not report one.
    let runtime = "executorch 1.5.1"

    private let manifest: MobileNetV4.Manifest
    private let module: Module
    private var input = Data()

    init(_ bundle: MobileNetV4.ModelBundle) throws {
        manifest = bundle.manifest
        module = Module(filePath: bundle.artifact.path)
        try running("load") { try module.load("forward") }
    }

    func feed(_ bytes: UnsafeRawBufferPointer) throws {
        input = Data(bytes)
    }

    func run(on actor: isolated any Actor) async throws -> [[Float]] {
        let found: [Value] = try running("run") { try module.forward([try tensor()]) }
        guard found.count == manifest.outputs.count else {
            throw MobileNetV4.Failure.runtimeFailed(
                "\(manifest.id): ExecuTorch gave \(found.count) outputs, the manifest has "
                    + "\(manifest.outputs.count)")
        }
        return try zip(manifest.outputs, found).map(values)
    }

    private func tensor() throws -> any ValueConvertible {
        let spec = manifest.input
        switch spec.dtype {
        case .float32: return Tensor<Float>(data: input, shape: spec.shape)
        case .uint8: return Tensor<UInt8>(data: input, shape: spec.shape)
        case .int8: return Tensor<Int8>(data: input, shape: spec.shape)
        case .float16:
            throw MobileNetV4.Failure.unsupported(
                "\(manifest.id): input: found float16, ExecuTorch's Swift API has none")
        }
    }

    private func values(_ output: MobileNetV4.TensorSpec, _ value: Value) throws -> [Float] {
        func floats<T: Scalar>(_ type: T.Type) throws -> [Float] {
            guard let tensor: Tensor<T> = value.tensor() else {
                throw MobileNetV4.Failure.runtimeFailed(
                    "\(manifest.id): output \(output.name): is not \(output.dtype)")
            }
            return try tensor.scalars().withUnsafeBytes { try output.floats($0) }
        }
        switch output.dtype {
        case .float32: return try floats(Float.self)
        case .uint8: return try floats(UInt8.self)
        case .int8: return try floats(Int8.self)
        case .float16:
            throw MobileNetV4.Failure.unsupported(
                "\(manifest.id): output \(output.name): found float16, ExecuTorch's Swift API "
                    + "has none")
        }
    }

    private func running<T>(_ what: String, _ block: () throws -> T) throws -> T {
        do {
            return try block()
        } catch let error as MobileNetV4.Failure {
            throw error
        } catch {
            throw MobileNetV4.Failure.runtimeFailed(
                "\(manifest.id): ExecuTorch cannot \(what) it: \(error.localizedDescription)")
        }
    }
}
