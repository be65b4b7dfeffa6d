@preconcurrency import CoreML
import Foundation

/// A bundle's model as Core ML compiled it, on this device or before.
struct CompiledModel: Sendable {
    private static let models: CompiledModels = {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        return CompiledModels(
            root: Kept.folder(
                "compiled", on: AppleSystem.current.family, app: Bundle.main.bundleIdentifier),
            system: "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)")
    }()

    private let artifact: CompiledModels.Artifact
    private let id: String
    /// The function for a further input size of the bundle; nil for the model's default function.
    let function: String?

    init(_ bundle: MobileNetV4.ModelBundle) {
        artifact = CompiledModels.Artifact(bundle)
        let manifest = bundle.manifest
        id = manifest.id
        let size = manifest.inputSize
        function = size == manifest.inputSizes[0] ? nil : "size_\(size)"
    }

    /// Returns the address of the compiled model, and compiles it first if it does not exist.
    func url() async throws -> URL {
        do {
            return try await Self.models.url(of: artifact, compile: compile)
        } catch {
            throw named(error, "compile")
        }
    }

    /// Loads the model, from a fresh compilation if the one that was kept cannot be loaded.
    func load(for units: MLComputeUnits) async throws -> sending MLModel {
        do {
            return try await Self.models.opened(artifact, compile: compile) { url in
                try await MLModel.load(contentsOf: url, configuration: configuration(for: units))
            }
        } catch {
            throw named(error, "load")
        }
    }

    /// Returns the configuration with which Core ML opens the model's function on units.
    func configuration(for units: MLComputeUnits) throws -> MLModelConfiguration {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        guard let function else { return configuration }
        guard #available(iOS 18.0, macOS 15.0, tvOS 18.0, visionOS 2.0, *) else {
            throw MobileNetV4.Failure.unsupported(
                "\(id): has functions for its input sizes, which need iOS 18, macOS 15, tvOS 18 or "
                    + "visionOS 2")
        }
        configuration.functionName = function
        return configuration
    }

    private var compile: CompiledModels.Compile {
        { [self] package in
            do {
                return try await MLModel.compileModel(at: package)
            } catch {
                throw named(error, "compile")
            }
        }
    }

    private func named(_ error: any Error, _ what: String) -> any Error {
        if error is MobileNetV4.Failure || error is CancellationError { return error }
        return MobileNetV4.Failure.runtimeFailed(
            "\(id): Core ML cannot \(what) it: \(error.localizedDescription)")
    }
}
