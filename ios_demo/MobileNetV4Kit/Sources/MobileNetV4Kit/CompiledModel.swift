@preconcurrency import CoreML
import Foundation

/// A package that Core ML compiled on this device, kept under the hash of its bytes.
///
/// It is in the app's caches, which the system empties when it needs space; then it is compiled
/// again. Its name has the version of the system, because each version has its own compiler.
struct CompiledModel: Sendable {
    private let package: URL
    private let id: String
    private let kept: URL

    init(of bundle: ModelBundle) throws {
        package = bundle.artifact
        id = bundle.manifest.id
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let system = "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        kept = caches.appendingPathComponent(
            "mnv4/compiled/\(bundle.manifest.artifact.sha256)-\(system).mlmodelc")
    }

    /// Returns the address of the compiled model, and compiles it first if it does not exist.
    func url() async throws -> URL {
        if FileManager.default.fileExists(atPath: kept.path) { return kept }
        do {
            let compiled = try await MLModel.compileModel(at: package)
            defer { try? FileManager.default.removeItem(at: compiled) }
            try FileManager.default.createDirectory(
                at: kept.deletingLastPathComponent(), withIntermediateDirectories: true)
            do {
                try FileManager.default.moveItem(at: compiled, to: kept)
            } catch CocoaError.fileWriteFileExists {
                // Another task was quicker; its model is the same.
            }
            return kept
        } catch {
            throw MNV4Error.runtimeFailed(
                "\(id): Core ML cannot compile it: \(error.localizedDescription)")
        }
    }

    func discard() {
        try? FileManager.default.removeItem(at: kept)
    }
}
