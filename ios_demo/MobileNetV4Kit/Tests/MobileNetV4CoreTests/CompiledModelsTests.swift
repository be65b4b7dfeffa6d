import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests the folder of compiled models, with files that stand for them.
struct CompiledModelsTests {
    private struct Broken: Error {}

    private let root: URL
    private let compiles = Counter()

    init() throws {
        root = try Fixtures.empty().appendingPathComponent("compiled")
    }

    private func models(_ system: String = "18.1.0") -> CompiledModels {
        CompiledModels(root: root, system: system)
    }

    private func artifact(_ sha256: String, _ name: String = "m.mlpackage")
        -> CompiledModels.Artifact
    {
        CompiledModels.Artifact(URL(fileURLWithPath: "/bundle/\(name)"), sha256: sha256)
    }

    /// Writes the number of the compilation.
    private func compile(_ package: URL) async throws -> URL {
        compiles.add()
        let made = try Fixtures.empty().appendingPathComponent("model.mlmodelc")
        try Data("\(compiles.count)".utf8).write(to: made)
        try await Task.sleep(for: .milliseconds(30))
        return made
    }

    private func text(_ url: URL) throws -> String {
        String(decoding: try Data(contentsOf: url), as: UTF8.self)
    }

    private func files() -> Set<String> {
        Set((try? FileManager.default.subpathsOfDirectory(atPath: root.path)) ?? [])
    }

    @Test func concurrentOpensCompileOnce() async throws {
        let models = models()
        try await withThrowingTaskGroup(of: URL.self) { group in
            for _ in 0..<8 {
                group.addTask { try await models.url(of: artifact("a"), compile: compile) }
            }
            for try await url in group { #expect(url.path.hasSuffix("/18.1.0/a/1.mlmodelc")) }
        }
        #expect(compiles.count == 1)
        // The next launch finds it.
        _ = try await self.models().url(of: artifact("a"), compile: compile)
        #expect(compiles.count == 1)
    }

    @Test func aCompilationThatFailsIsTriedByTheNextCall() async throws {
        let models = models()
        await #expect(throws: Broken.self) {
            _ = try await models.url(of: artifact("a")) { _ in throw Broken() }
        }
        _ = try await models.url(of: artifact("a"), compile: compile)
        #expect(compiles.count == 1)
    }

    @Test func aLoadErrorCompilesOnceMoreAndDeletesNothing() async throws {
        let models = models()
        let first = try await models.url(of: artifact("a"), compile: compile)
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await models.opened(artifact("a"), compile: compile) { url in
                        if url == first { throw Broken() }
                        return try text(url)
                    }
                }
            }
            for try await found in group { #expect(found == "2") }
        }
        #expect(compiles.count == 2)
        #expect(try text(first) == "1")  // another session may read it
        // The next launch removes what was replaced.
        let later = try await self.models().url(of: artifact("a"), compile: compile)
        #expect(files() == ["18.1.0", "18.1.0/a", "18.1.0/a/2.mlmodelc"])
        #expect(try text(later) == "2")
    }

    @Test func aModelThatNeverLoadsIsCompiledTwiceInAll() async throws {
        let models = models()
        for _ in 0..<3 {
            await #expect(throws: Broken.self) {
                try await models.opened(artifact("a"), compile: compile) { _ in throw Broken() }
            }
        }
        #expect(compiles.count == 2)
        // A bundle that cannot be used at all is not compiled again.
        await #expect(throws: MobileNetV4.Failure.self) {
            try await models.opened(artifact("b"), compile: compile) { _ in
                throw MobileNetV4.Failure.badBundle("")
            }
        }
        #expect(compiles.count == 3)
    }

    @Test func modelsOfOlderSystemsAreSwept() async throws {
        _ = try await models("17.6.1").url(of: artifact("a"), compile: compile)
        _ = try await models("17.6.1").url(of: artifact("b"), compile: compile)
        _ = try await models("18.0.0").url(of: artifact("a"), compile: compile)
        #expect(files() == ["18.0.0", "18.0.0/a", "18.0.0/a/1.mlmodelc"])
        #expect(compiles.count == 3)
    }

    @Test func modelsThatNoOneOpensAnyMoreAreSwept() async throws {
        for name in ["a", "b"] { _ = try await models().url(of: artifact(name), compile: compile) }
        let model = root.appendingPathComponent("18.1.0/a/1.mlmodelc")
        let made = try date(model)
        for name in ["a", "b"] {
            let long = Date(timeIntervalSinceNow: -Kept.unused + (name == "a" ? 60 : -60))
            try FileManager.default.setAttributes(
                [.modificationDate: long],
                ofItemAtPath: root.appendingPathComponent("18.1.0/\(name)").path)
        }
        _ = try await models().url(of: artifact("a"), compile: compile)
        #expect(files() == ["18.1.0", "18.1.0/a", "18.1.0/a/1.mlmodelc"])
        #expect(compiles.count == 2)
        // Opening counts as use, and does not touch the model.
        #expect(try date(model.deletingLastPathComponent()).timeIntervalSinceNow > -60)
        #expect(try date(model) == made)
    }

    private func date(_ file: URL) throws -> Date {
        let about = try FileManager.default.attributesOfItem(atPath: file.path)
        return try #require(about[.modificationDate] as? Date)
    }

    @Test func whatWasCompiledOnAMacIsOpenedAsItIs() async throws {
        let models = models()
        let shipped = artifact("a", "m.mlmodelc")
        #expect(try await models.url(of: shipped, compile: compile) == shipped.url)
        let found = try await models.opened(shipped, compile: compile) { $0.path }
        #expect(found == "/bundle/m.mlmodelc")
        // There is no package to compile again.
        await #expect(throws: Broken.self) {
            try await models.opened(shipped, compile: compile) { _ in throw Broken() }
        }
        #expect(compiles.count == 0)
        #expect(files().isEmpty)
    }

    @Test func modelsStayExceptOnTVOS() {
        let files = FileManager.default
        for (family, kind) in [
            (AppleSystem.Family.iOS, FileManager.SearchPathDirectory.applicationSupportDirectory),
            (.macOS, .applicationSupportDirectory), (.visionOS, .applicationSupportDirectory),
            (.tvOS, .cachesDirectory),
        ] {
            let above = files.urls(for: kind, in: .userDomainMask)[0].path
            let found = Kept.folder("compiled", on: family, app: "com.example.app").path
            #expect(found == "\(above)/com.example.app/mnv4/compiled")
        }
    }

    @Test func noSpaceIsLeft() async throws {
        let models = models()
        let posix = NSError(domain: NSPOSIXErrorDomain, code: Int(ENOSPC))
        let wrapped = NSError(
            domain: "com.apple.CoreML", code: 0, userInfo: [NSUnderlyingErrorKey: posix])
        for error in [CocoaError(.fileWriteOutOfSpace) as any Error, posix, wrapped] {
            await #expect(
                throws: MobileNetV4.Failure.runtimeFailed(
                    "no space is left for the compiled model in \(root.path)")
            ) {
                _ = try await models.url(of: artifact("a")) { _ in throw error }
            }
        }
        #expect(files().isEmpty)
        // The next call tries again, and leaves the model only.
        _ = try await models.url(of: artifact("a"), compile: compile)
        #if canImport(Darwin)
            let values = try root.resourceValues(forKeys: [.isExcludedFromBackupKey])
            #expect(values.isExcludedFromBackup == true)
        #endif
        #expect(files() == ["18.1.0", "18.1.0/a", "18.1.0/a/1.mlmodelc"])
    }
}
