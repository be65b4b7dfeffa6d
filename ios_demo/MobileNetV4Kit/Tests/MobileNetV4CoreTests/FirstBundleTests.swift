import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests which of several bundles is opened, on systems that this one only stands for.
struct FirstBundleTests {
    private let both = [Fixtures.coreAI, Fixtures.float16].map(Fixtures.bundle)

    /// Opens the first bundle that a version of iOS runs, as far as that needs no runtime.
    private func first(of folders: [URL], onIOS version: Int) async throws -> String {
        try await MobileNetV4.first(of: folders) { folder in
            let bundle = try MobileNetV4.ModelBundle(folder: folder)
            try bundle.check(targets: "coreml", "coreai")
            try AppleSystem(.iOS, version).check(bundle.manifest)
            try bundle.checkArtifact()
            return bundle.manifest.target
        }
    }

    @Test func theSystemDecides() async throws {
        #expect(try await first(of: both, onIOS: 27) == "coreai")
        #expect(try await first(of: both, onIOS: 26) == "coreml")
        #expect(try await first(of: both.reversed(), onIOS: 27) == "coreml")
    }

    @Test func aDamagedBundleIsPassedOver() async throws {
        let damaged = try Fixtures.copy(Fixtures.coreAI)
        let asset = try MobileNetV4.ModelBundle(folder: damaged).artifact
        try Data([0]).write(to: asset.appendingPathComponent("main.mlirb"))
        #expect(try await first(of: [damaged, both[1]], onIOS: 27) == "coreml")
    }

    @Test func theErrorSaysWhyOfEachBundle() async throws {
        let executorch = Fixtures.bundle(Fixtures.executorch)
        let said = await message { try await first(of: both + [executorch], onIOS: 15) }
        #expect(
            said == "found 3 bundles, none can be opened here; "
                + "\(Fixtures.coreAI): needs iOS 27, this is iOS 15; "
                + "\(Fixtures.float16): needs iOS 16, this is iOS 15; "
                + "\(Fixtures.executorch): is for executorch, allowed here: coreml, coreai")
        let none = await message { try await first(of: [], onIOS: 27) }
        #expect(none == "found 0 bundles, none can be opened here")
    }

    @Test func anErrorThatIsNotOfABundleEndsTheSearch() async throws {
        let opened = Counter()
        await #expect(throws: CancellationError.self) {
            try await MobileNetV4.first(of: both) { _ in
                opened.add()
                throw CancellationError()
            }
        }
        #expect(opened.count == 1)
    }
}
