import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests bundles that Python wrote, intact and damaged.
struct BundleTests {
    @Test(arguments: [Fixtures.float32, Fixtures.float16, Fixtures.executorch])
    func readsWhatPythonWrote(_ name: String) throws {
        let bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(name))
        try bundle.checkArtifact()
        #expect(bundle.manifest.id == name)
        #expect(bundle.manifest.model.name == "conv-small-035")
        #expect(bundle.manifest.preprocess.size == [96, 96])
        #expect(bundle.manifest.input.count == 3 * 96 * 96)
        #expect(bundle.manifest.labels?.count == 10)
        let pixels = try #require(try bundle.golden(.input)["pixels"])
        #expect(pixels.count % (96 * 96 * 3) == 0)
        #expect(Array(try bundle.golden(.eager).keys) == ["logits"])
    }

    private func refused(
        _ name: String = Fixtures.float16, _ change: (inout [String: Any]) -> Void
    ) throws -> String {
        let folder = try Fixtures.edited(name, change)
        return message { try MobileNetV4.ModelBundle(folder: folder) }
    }

    @Test func aDamagedArtifact() throws {
        let pte = try Fixtures.copy(Fixtures.executorch)
        let program = "conv-small-035-96x96-fp32.pte"
        let file = try FileHandle(forWritingTo: pte.appendingPathComponent(program))
        try file.seekToEnd()
        try file.write(contentsOf: Data([0]))
        try file.close()
        let bundle = try MobileNetV4.ModelBundle(folder: pte)
        #expect(message { try bundle.checkArtifact() }.contains("\(program): damaged: sha256"))

        // Changes of a folder: an extra file, a hidden file, and a missing file.
        for change in ["more", ".hidden"] {
            let folder = try Fixtures.copy(Fixtures.float16)
            let package = folder.appendingPathComponent(Fixtures.package(Fixtures.float16))
            try Data().write(to: package.appendingPathComponent(change))
            let bundle = try MobileNetV4.ModelBundle(folder: folder)
            #expect(message { try bundle.checkArtifact() }.contains("damaged"), "\(change)")
        }
        let folder = try Fixtures.copy(Fixtures.float16)
        let package = folder.appendingPathComponent(Fixtures.package(Fixtures.float16))
        try FileManager.default.removeItem(at: package.appendingPathComponent("Manifest.json"))
        let cut = try MobileNetV4.ModelBundle(folder: folder)
        #expect(message { try cut.checkArtifact() }.contains("damaged"))
        try FileManager.default.removeItem(at: package)
        #expect(message { try cut.checkArtifact() }.contains("cannot be read"))
    }

    @Test func hashesOfFilesAndFolders() throws {
        #expect(
            Digest.sha256(Data("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        // Lengths around that of a block; the expected hashes are hashlib's.
        let file = Fixtures.folder.appendingPathComponent("hashes.json")
        let hashes = try JSONDecoder().decode([String].self, from: Data(contentsOf: file))
        #expect(hashes.count == 130)
        for (count, wanted) in hashes.enumerated() {
            #expect(Digest.sha256(Data(repeating: 0x61, count: count)) == wanted, "\(count)")
        }
    }

    @Test func filesThatAreMissing() throws {
        let empty = try Fixtures.empty()
        #expect(message { try MobileNetV4.ModelBundle(folder: empty) }.contains("not a bundle"))
        let folder = try Fixtures.copy(Fixtures.float16)
        let file = folder.appendingPathComponent("golden/eager.logits.bin")
        let bundle = try MobileNetV4.ModelBundle(folder: folder)
        try Data([1, 2, 3]).write(to: file)
        #expect(message { try bundle.golden(.eager) }.contains("found 3 bytes"))
        let length = try MobileNetV4.ModelBundle(folder: folder).manifest.golden.first {
            $0.source == .eager
        }
        .map { $0.shape.reduce($0.dtype.bytes, *) }
        try Data(count: try #require(length)).write(to: file)
        #expect(message { try bundle.golden(.eager) }.contains("damaged: sha256"))
        try FileManager.default.removeItem(at: file)
        #expect(message { try bundle.golden(.eager) }.contains("eager.logits.bin: missing"))
        #expect(message { try MobileNetV4.Golden(bundle) }.contains("missing"))
    }

    @Test func aNewerSchema() throws {
        let found = try refused { $0["schema"] = 2 }
        #expect(found.contains("newer version (schema 2, this one reads 1)"))
        #expect(found.contains("update the MobileNetV4Kit package"))
    }

    @Test func labelsThatAreMissingOrTooFew() throws {
        let folder = try Fixtures.edited(Fixtures.float16) { $0["labels"] = NSNull() }
        #expect(try MobileNetV4.ModelBundle(folder: folder).manifest.labels == nil)
        #expect(
            try refused { $0["labels"] = ["one", "two"] }
                .contains("labels: found 2, must be 10, one for each class"))
    }

    @Test func whatIsNoManifest() throws {
        let folder = try Fixtures.copy(Fixtures.float16)
        let file = folder.appendingPathComponent("manifest.json")
        for text in ["", "[1, 2", "3", "{\"schema\": \"one\"}"] {
            try Data(text.utf8).write(to: file)
            #expect(
                message { try MobileNetV4.ModelBundle(folder: folder) }.contains("manifest.json"),
                "\(text)")
        }
    }

    @Test func anotherRuntime() throws {
        let bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.executorch))
        #expect(
            message { try bundle.check(target: "coreml") }
                .contains("is for executorch, this package runs: coreml"))
        try bundle.check(target: "executorch")
    }
}
