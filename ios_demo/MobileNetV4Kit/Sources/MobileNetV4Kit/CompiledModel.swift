@preconcurrency import CoreML
import Foundation

/// A bundle's package as Core ML compiled it on this device.
struct CompiledModel: Sendable {
    private static let models: CompiledModels = {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)
        return CompiledModels(
            root: (caches.first ?? FileManager.default.temporaryDirectory)
                .appendingPathComponent("mnv4/compiled"),
            system: "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)")
    }()

    private let package: URL
    private let sha256: String
    private let id: String

    init(_ bundle: MobileNetV4.ModelBundle) {
        package = bundle.artifact
        sha256 = bundle.manifest.artifact.sha256
        id = bundle.manifest.id
    }

    /// Returns the address of the compiled model, and compiles it first if it does not exist.
    func url() async throws -> URL {
        do {
            return try await Self.models.url(of: sha256, compile: compile)
        } catch {
            throw named(error, "compile")
        }
    }

    /// Loads the model, from a fresh compilation if the one that was kept cannot be loaded.
    func load(for units: MLComputeUnits) async throws -> sending MLModel {
        do {
            return try await Self.models.opened(sha256, compile: compile) { url in
                let configuration = MLModelConfiguration()
                configuration.computeUnits = units
                return try await MLModel.load(contentsOf: url, configuration: configuration)
            }
        } catch {
            throw named(error, "load")
        }
    }

    private var compile: CompiledModels.Compile {
        { [self] in
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
