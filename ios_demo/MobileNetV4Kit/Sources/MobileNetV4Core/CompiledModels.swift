import Foundation

/// The models that Core ML compiled on this device, each under the hash of its package.
///
/// They are in the app's caches, which the system empties when it needs space; then they are
/// compiled again. Each version of the system has a folder, because it has its own compiler.
/// A model is never changed or removed while this process may use it: a fresh compilation gets a
/// name of its own, and what it replaces is removed by the next launch.
package actor CompiledModels {
    /// Compiles a package and returns where the result is.
    package typealias Compile = @Sendable () async throws -> URL

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

    /// Returns a compiled model. It is compiled first if it does not exist, once for all callers.
    ///
    /// - Parameters:
    ///   - sha256: The package's hash.
    ///   - compile: Compiles the package.
    /// - Throws: The error of `compile` or of the file system.
    package func url(of sha256: String, compile: @escaping Compile) async throws -> URL {
        sweep()
        if let kept = newest(sha256) { return kept }
        return try await compiled(sha256, compile)
    }

    /// Opens a compiled model. If that fails, it is compiled and opened once more, because an
    /// interrupted or outdated compilation cannot be told from a good one.
    ///
    /// - Parameters:
    ///   - sha256: The package's hash.
    ///   - compile: Compiles the package.
    ///   - open: Opens the compiled model. An ``Failure`` of its own is not tried again.
    /// - Throws: The error of `compile`, of `open` or of the file system.
    package nonisolated func opened<Opened>(
        _ sha256: String, compile: @escaping Compile,
        open: (URL) async throws -> sending Opened
    ) async throws -> sending Opened {
        let kept = try await url(of: sha256, compile: compile)
        do {
            return try await open(kept)
        } catch let error where !(error is MobileNetV4.Failure || error is CancellationError) {
            guard let fresh = try await fresh(sha256, insteadOf: kept, compile) else { throw error }
            return try await open(fresh)
        }
    }

    /// Returns another compilation than one that could not be opened; nil if that was tried.
    private func fresh(
        _ sha256: String, insteadOf broken: URL, _ compile: @escaping Compile
    ) async throws -> URL? {
        if let task = running[sha256] { return try await task.value }
        if let kept = newest(sha256), kept != broken { return kept }
        guard renewed.insert(sha256).inserted else { return nil }
        return try await compiled(sha256, compile)
    }

    private func compiled(_ sha256: String, _ compile: @escaping Compile) async throws -> URL {
        // A task of its own: a caller that is cancelled does not take the others with it.
        let task = running[sha256] ?? Task { try await keep(sha256, compile) }
        running[sha256] = task
        return try await task.value
    }

    private func keep(_ sha256: String, _ compile: Compile) async throws -> URL {
        defer { running[sha256] = nil }
        do {
            let made = try await compile()
            defer { try? FileManager.default.removeItem(at: made) }
            return try move(made, sha256)
        } catch  where Self.isOutOfSpace(error) {
            throw MobileNetV4.Failure.runtimeFailed(
                "no space is left for the compiled model in \(root.path)")
        }
    }

    private func move(_ made: URL, _ sha256: String) throws -> URL {
        let files = FileManager.default
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        let place = url(sha256, (generations(sha256).max() ?? 0) + 1)
        // From another volume it is copied, which may stop halfway: under a name that no one reads.
        let part = folder.appendingPathComponent("\(UUID().uuidString).part")
        defer { try? files.removeItem(at: part) }
        try files.moveItem(at: made, to: part)
        do {
            try files.moveItem(at: part, to: place)
        } catch CocoaError.fileWriteFileExists {
            // Another process was quicker; its model is the same.
        }
        return place
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

    private func url(_ sha256: String, _ generation: Int) -> URL {
        folder.appendingPathComponent("\(sha256)-\(generation)\(Self.suffix)")
    }

    private func generations(_ sha256: String) -> [Int] {
        names(folder).filter { $0.hasPrefix("\(sha256)-") && $0.hasSuffix(Self.suffix) }
            .compactMap { Int($0.dropFirst(sha256.count + 1).dropLast(Self.suffix.count)) }
    }

    private func names(_ folder: URL) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    }

    /// Removes the models of other systems and replaced ones, before any of them is in use.
    private func sweep() {
        guard !isSwept else { return }
        isSwept = true
        for name in names(root) where name != folder.lastPathComponent {
            try? FileManager.default.removeItem(at: root.appendingPathComponent(name))
        }
        for name in names(folder) {
            let sha256 = String(name.prefix { $0 != "-" })
            let file = folder.appendingPathComponent(name)
            if newest(sha256)?.lastPathComponent != name {
                try? FileManager.default.removeItem(at: file)
            }
        }
    }
}
