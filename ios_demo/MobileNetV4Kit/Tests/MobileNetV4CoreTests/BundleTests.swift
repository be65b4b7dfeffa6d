import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests bundles that Python wrote, intact and damaged.
struct BundleTests {
    @Test(arguments: [
        Fixtures.float32, Fixtures.float16, Fixtures.coreAI, Fixtures.executorch,
    ])
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

    @Test(arguments: [Fixtures.float32, Fixtures.executorch])
    func aFurtherInputSize(_ name: String) throws {
        func opened(_ size: MobileNetV4.InputSize?) throws -> MobileNetV4.ModelBundle {
            try MobileNetV4.ModelBundle(folder: Fixtures.bundle(name), inputSize: size)
        }
        let first = try opened(nil)
        #expect(first.manifest.inputSizes.map(\.description) == ["96x96", "64x96"])
        #expect(try opened(first.manifest.inputSize).manifest == first.manifest)
        let small = try opened(.init(height: 64, width: 96))
        #expect(small.manifest.inputSizes == first.manifest.inputSizes)
        #expect(small.manifest.preprocess.size == [64, 96])
        #expect(small.manifest.input.count == 3 * 64 * 96)
        #expect(small.manifest.outputs == first.manifest.outputs)
        #expect(try #require(try small.golden(.input)["pixels"]).count % (64 * 96 * 3) == 0)
        #expect(try small.golden(.eager) != first.golden(.eager))
        #expect(try MobileNetV4.Golden(small).image(1).count == 64 * 96 * 3)
        #expect(small.manifest.inputSize == first.manifest.inputSizes[1])
        for size in [(128, 128), (96, 64), (-1, 0)].map(MobileNetV4.InputSize.init) {
            #expect(
                message { try opened(size) }
                    == "\(name): input size: found \(size), allowed: 96x96, 64x96")
        }
    }

    @Test func anInputSizeOfABundleWithOne() throws {
        let folder = Fixtures.bundle(Fixtures.coreAI)
        #expect(
            message {
                try MobileNetV4.ModelBundle(
                    folder: folder, inputSize: .init(height: 64, width: 96))
            } == "\(Fixtures.coreAI): input size: found 64x96, allowed: 96x96")
        #expect(
            try MobileNetV4.ModelBundle(
                folder: folder, inputSize: .init(height: 96, width: 96)
            ).manifest
                == MobileNetV4.ModelBundle(folder: folder).manifest)
    }

    @Test func aFeatureMapHasTheSidesOfItsInputSize() throws {
        let found = try Fixtures.accepted("manifest").map { try MobileNetV4.Manifest(json: $0) }
        let maps = found.filter { $0.inputSizes.count > 1 && $0.output(kind: "stage_1") != nil }
        let large = try #require(maps.first).at(inputSize: .init(height: 128, width: 160))
        #expect(large.input.shape == [1, 128, 160, 3])
        #expect(large.outputs.map(\.shape) == [[1, 4], [1, 64, 8, 10]])
    }

    private func refused(
        _ name: String = Fixtures.float16, _ change: (inout [String: Any]) -> Void
    ) throws -> String {
        let folder = try Fixtures.edited(name, change)
        return message { try MobileNetV4.ModelBundle(folder: folder) }
    }

    @Test func aDamagedArtifact() throws {
        let pte = try Fixtures.copy(Fixtures.executorch)
        let program = "conv-small-035-96x96_64x96-fp32.pte"
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
        let tree = Fixtures.folder.appendingPathComponent("tree")
        let wanted = try String(
            contentsOf: Fixtures.folder.appendingPathComponent("tree.sha256"), encoding: .utf8)
        #expect(try Digest.sha256(of: tree) == wanted)
    }

    @Test(arguments: ["main.mlirb", "main.hash", "metadata.json"])
    func aDamagedAsset(_ name: String) throws {
        let folder = try Fixtures.copy(Fixtures.coreAI)
        let bundle = try MobileNetV4.ModelBundle(folder: folder)
        let file = bundle.artifact.appendingPathComponent(name)
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: file)
        #expect(message { try bundle.checkArtifact() }.contains("damaged"))
        try FileManager.default.removeItem(at: file)
        #expect(message { try bundle.checkArtifact() }.contains("damaged"))
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
            message { try bundle.check(targets: "coreml", "coreai") }
                .contains("is for executorch, allowed here: coreml, coreai"))
        try bundle.check(targets: "coreml", "executorch")
    }

    @Test func whatIsNoFile() throws {
        for name in ["manifest.json", "golden/eager.logits.bin"] {
            let folder = try Fixtures.copy(Fixtures.float16)
            let file = folder.appendingPathComponent(name)
            func read() -> String {
                message { try MobileNetV4.ModelBundle(folder: folder).golden(.eager) }
            }
            #expect(read() == "no error")
            let moved = folder.appendingPathComponent("elsewhere")
            try FileManager.default.moveItem(at: file, to: moved)
            try FileManager.default.createSymbolicLink(at: file, withDestinationURL: moved)
            #expect(read().contains("\(name): is no file"))
            try FileManager.default.removeItem(at: file)
            try FileManager.default.createDirectory(at: file, withIntermediateDirectories: true)
            #expect(read().contains("\(name): is no file"))
            // Opening a pipe would wait for ever.
            try FileManager.default.removeItem(at: file)
            #expect(mkfifo(file.path, 0o600) == 0)
            #expect(read().contains("\(name): is no file"))
        }
    }

    @Test func anArtifactWithALink() throws {
        let folder = try Fixtures.copy(Fixtures.float16)
        let package = folder.appendingPathComponent(Fixtures.package(Fixtures.float16))
        let bundle = try MobileNetV4.ModelBundle(folder: folder)
        // A link to a folder would not count among the files that are hashed.
        try FileManager.default.createSymbolicLink(
            at: package.appendingPathComponent("more"), withDestinationURL: folder)
        #expect(message { try bundle.checkArtifact() }.contains("more: is a link or a device"))
    }

    @Test func aManifestThatIsTooLarge() throws {
        let folder = try Fixtures.copy(Fixtures.float16)
        try Data(count: 8 << 20 + 1).write(to: folder.appendingPathComponent("manifest.json"))
        #expect(
            message { try MobileNetV4.ModelBundle(folder: folder) }
                .contains("manifest.json: found 8388609 bytes, must be 8388608 at most"))
    }

    private func tensor(_ change: @escaping (inout [String: Any]) -> Void) throws -> String {
        try refused { json in
            guard var inputs = json["inputs"] as? [[String: Any]] else { return }
            change(&inputs[0])
            json["inputs"] = inputs
        }
    }

    @Test func sizesAndScalesThatCannotBe() throws {
        for scale in [0, -1, 1e-45, 1e308] {
            let found = try tensor {
                $0["dtype"] = "int8"
                $0["quantization"] = ["scale": scale, "zero_point": 0]
            }
            #expect(found.contains("inputs[0].quantization.scale: found"), "\(found)")
        }
        for side in [0, -1, 4_000_000_000, 9_007_199_254_740_993] {
            let found = try tensor { $0["shape"] = [1, 3, 96, side] }
            #expect(found.contains("inputs[0].shape[3]: found \(side)"), "\(found)")
        }
        let most = 2_147_483_647
        let found = try tensor { $0["shape"] = [most, most, most, most] }
        #expect(found.contains("a tensor has at most 2147483647 bytes"), "\(found)")
        let folder = try Fixtures.copy(Fixtures.float16)
        let file = folder.appendingPathComponent("manifest.json")
        let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        for number in ["NaN", "Infinity", "1e999"] {
            let changed = text.replacing(/"crop": [0-9.]+/, with: "\"crop\": \(number)")
            #expect(changed != text)
            try Data(changed.utf8).write(to: file)
            let found = message { try MobileNetV4.ModelBundle(folder: folder) }
            #expect(found.contains("not JSON") || found.contains("crop: found"), "\(found)")
        }
        #expect(
            try refused { $0["id"] = String(repeating: "/", count: 1_000_000) }.utf8.count < 1000)
    }
}
