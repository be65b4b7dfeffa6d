import Foundation

/// The models that Core ML compiled on this device, each in a folder with the hash of its package.
///
/// They are kept until they are not needed any more. Each version of the system has a folder, because
/// it has its own compiler. A model is never changed or removed while this process may use it: a fresh
/// compilation gets a name of its own, and what it replaces is removed by the next launch, as is a
/// model that was not opened for ``Kept/unused`` seconds.
package actor CompiledModels {
    /// Compiles a package and returns where the result is.
    package typealias Compile = @Sendable (URL) async throws -> URL

    /// A bundle's artifact.
    package struct Artifact: Sendable {
        private static let compiled = "mlmodelc"

        let url: URL
        let sha256: String

        /// Whether it was compiled before it came to this device.
        var isCompiled: Bool { url.pathExtension == Self.compiled }

        /// Takes a bundle's artifact.
        package init(_ bundle: MobileNetV4.ModelBundle) {
            self.init(bundle.artifact, sha256: bundle.manifest.artifact.sha256)
        }

        init(_ url: URL, sha256: String) {
            self.url = url
            self.sha256 = sha256
        }
    }

    private static let suffix = ".mlmodelc"
    private let root: URL
    private let folder: URL
    private var running: [String: Task<URL, any Error>] = [:]
    private var renewed: Set<String> = []
    private var isSwept = false

    /// Keeps models in a folder.
    ///
    /// - Parameters:
    ///   - root: The folder, which is made when it is needed. All else in it is removed.
    ///   - system: The version of the system.
    package init(root: URL, system: String) {
        self.root = root
        folder = root.appendingPathComponent(system)
    }

    /// Returns a compiled model. It is compiled first if it does not exist, once for all callers. An
    /// artifact that was compiled before is returned as it is.
    ///
    /// - Parameters:
    ///   - artifact: The artifact.
    ///   - compile: Compiles the package.
    /// - Throws: The error of `compile` or of the file system.
    package func url(of artifact: Artifact, compile: @escaping Compile) async throws -> URL {
        if artifact.isCompiled { return artifact.url }
        sweep()
        let model = newest(artifact.sha256)
        let found = if let model { model } else { try await compiled(artifact, compile) }
        // The date of the model itself stays: Core ML keeps what it derived from a model for as long
        // as the model does not change.
        Kept.use(place(artifact.sha256))
        return found
    }

    /// Opens a compiled model. If that fails, it is compiled and opened once more, because an
    /// interrupted or outdated compilation cannot be told from a good one.
    ///
    /// - Parameters:
    ///   - artifact: The artifact.
    ///   - compile: Compiles the package.
    ///   - open: Opens the compiled model. An ``Failure`` of its own is not tried again.
    /// - Throws: The error of `compile`, of `open` or of the file system.
    package nonisolated func opened<Opened>(
        _ artifact: Artifact, compile: @escaping Compile,
        open: (URL) async throws -> sending Opened
    ) async throws -> sending Opened {
        let kept = try await url(of: artifact, compile: compile)
        do {
            return try await open(kept)
        } catch let error where !(error is MobileNetV4.Failure || error is CancellationError) {
            guard let fresh = try await fresh(artifact, insteadOf: kept, compile) else {
                throw error
            }
            return try await open(fresh)
        }
    }

    /// Returns another compilation than one that could not be opened; nil if that was tried, or the
    /// artifact has no source.
    private func fresh(
        _ artifact: Artifact, insteadOf broken: URL, _ compile: @escaping Compile
    ) async throws -> URL? {
        if artifact.isCompiled { return nil }
        if let task = running[artifact.sha256] { return try await task.value }
        if let kept = newest(artifact.sha256), kept != broken { return kept }
        guard renewed.insert(artifact.sha256).inserted else { return nil }
        return try await compiled(artifact, compile)
    }

    private func compiled(
        _ artifact: Artifact, _ compile: @escaping Compile
    ) async throws -> URL {
        // A task of its own: a caller that is cancelled does not take the others with it.
        let task = running[artifact.sha256] ?? Task { try await keep(artifact, compile) }
        running[artifact.sha256] = task
        return try await task.value
    }

    private func keep(_ artifact: Artifact, _ compile: Compile) async throws -> URL {
        defer { running[artifact.sha256] = nil }
        do {
            let made = try await compile(artifact.url)
            defer { try? FileManager.default.removeItem(at: made) }
            return try move(made, artifact.sha256)
        } catch  where Self.isOutOfSpace(error) {
            throw MobileNetV4.Failure.runtimeFailed(
                "no space is left for the compiled model in \(root.path)")
        }
    }

    private func move(_ made: URL, _ sha256: String) throws -> URL {
        let files = FileManager.default
        try files.createDirectory(at: place(sha256), withIntermediateDirectories: true)
        Kept.excludeFromBackup(root)
        let model = url(sha256, (generations(sha256).max() ?? 0) + 1)
        // From another volume it is copied, which may stop halfway: under a name that no one reads.
        let part = place(sha256).appendingPathComponent("\(UUID().uuidString).part")
        defer { try? files.removeItem(at: part) }
        try files.moveItem(at: made, to: part)
        do {
            try files.moveItem(at: part, to: model)
        } catch CocoaError.fileWriteFileExists {
            // Another process was quicker; its model is the same.
        }
        return model
    }

    /// Tells whether an error, or one that caused it, says that no space is left.
    private static func isOutOfSpace(_ error: any Error) -> Bool {
        var next: NSError? = error as NSError
        while let one = next {
            let isCocoa = one.domain == NSCocoaErrorDomain
            let isPOSIX = one.domain == NSPOSIXErrorDomain
            if isCocoa && one.code == CocoaError.Code.fileWriteOutOfSpace.rawValue { return true }
            if isPOSIX && one.code == Int(ENOSPC) { return true }
            next = one.userInfo[NSUnderlyingErrorKey] as? NSError
        }
        return false
    }

    private func newest(_ sha256: String) -> URL? {
        generations(sha256).max().map { url(sha256, $0) }
    }

    private func place(_ sha256: String) -> URL { folder.appendingPathComponent(sha256) }

    private func url(_ sha256: String, _ generation: Int) -> URL {
        place(sha256).appendingPathComponent("\(generation)\(Self.suffix)")
    }

    private func generations(_ sha256: String) -> [Int] {
        names(place(sha256)).filter { $0.hasSuffix(Self.suffix) }
            .compactMap { Int($0.dropLast(Self.suffix.count)) }
    }

    private func names(_ folder: URL) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    }

    /// Removes the models of other systems, replaced ones and unused ones, before any of them is in
    /// use.
    private func sweep() {
        guard !isSwept else { return }
        isSwept = true
        for name in names(root) where name != folder.lastPathComponent {
            remove(root.appendingPathComponent(name))
        }
        for sha256 in names(folder) {
            let place = place(sha256)
            guard let newest = newest(sha256), Kept.isUsed(place) else {
                remove(place)
                continue
            }
            for name in names(place) where name != newest.lastPathComponent {
                remove(place.appendingPathComponent(name))
            }
        }
    }

    private func remove(_ file: URL) {
        try? FileManager.default.removeItem(at: file)
    }
}
