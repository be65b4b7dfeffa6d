import Foundation
import Testing

@testable import MobileNetV4Core

/// Files that Python wrote with `python -m tools.ios`.
enum Fixtures {
    private static let checkout = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The golden cases that all languages share.
    static let golden = checkout.appendingPathComponent("tests/golden")
    static let folder = checkout.appendingPathComponent("out/ios/fixtures")

    /// Takes 64 x 96 pixels, too.
    static let float32 = "conv-small-035-96x96_64x96-fp32-coreml"
    static let float16 = "conv-small-035-96x96-fp16-coreml"
    static let coreAI = "conv-small-035-96x96-fp16-coreai"
    /// Takes 64 x 96 pixels, too.
    static let executorch = "conv-small-035-96x96_64x96-fp32-executorch"

    /// The path of a Core ML artifact in its bundle.
    static func package(_ name: String) -> String {
        name.replacingOccurrences(of: "-coreml", with: ".mlpackage")
    }

    static func bundle(_ name: String) -> URL {
        folder.appendingPathComponent("bundles/\(name)")
    }

    /// Returns the documents of a kind that every language must accept.
    static func accepted(_ kind: String) throws -> [Data] {
        try documents(kind).accept.map { Data($0.text.utf8) }
    }

    /// Returns the documents of a kind that every language must accept, and those it must refuse.
    static func documents(_ kind: String) throws -> Documents {
        let file = golden.appendingPathComponent("documents/\(kind).json")
        return try JSONDecoder().decode(Documents.self, from: Data(contentsOf: file))
    }

    struct Documents: Decodable {
        struct Accepted: Decodable {
            let name: String, text: String
        }

        struct Refused: Decodable {
            let name: String, text: String, key: String
        }

        let accept: [Accepted]
        let refuse: [Refused]
    }

    /// Returns a copy to damage.
    static func copy(_ name: String) throws -> URL {
        let copy = try empty().appendingPathComponent(name)
        try FileManager.default.copyItem(at: bundle(name), to: copy)
        return copy
    }

    /// Makes a new folder.
    static func empty() throws -> URL {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("mnv4-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Returns a copy with a changed manifest.
    static func edited(_ name: String, _ change: (inout [String: Any]) -> Void) throws -> URL {
        let folder = try copy(name)
        try edit(folder, change)
        return folder
    }

    /// Changes the manifest of a bundle.
    private static func edit(_ folder: URL, _ change: (inout [String: Any]) -> Void) throws {
        let file = folder.appendingPathComponent("manifest.json")
        var json = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        change(&json)
        try JSONSerialization.data(withJSONObject: json).write(to: file)
    }

    /// Replaces a golden file, and its hash in the manifest.
    static func replaceGolden(_ bundle: URL, _ name: String, _ data: Data) throws {
        try data.write(to: bundle.appendingPathComponent(name))
        try edit(bundle) { json in
            guard var golden = json["golden"] as? [[String: Any]] else { return }
            for index in golden.indices where golden[index]["path"] as? String == name {
                golden[index]["sha256"] = Digest.sha256(data)
            }
            json["golden"] = golden
        }
    }
}

/// Returns the message of an error.
func message(_ block: () throws -> Any) -> String {
    do {
        _ = try block()
        return "no error"
    } catch {
        return "\(error)"
    }
}

/// Returns the message of an error.
func message(_ block: () async throws -> Any) async -> String {
    do {
        _ = try await block()
        return "no error"
    } catch {
        return "\(error)"
    }
}

/// An image from rows of pixels.
struct Grid: MobileNetV4.PixelSource {
    let rows: [[UInt32]]
    var orientation = MobileNetV4.Orientation.upright
    var width: Int { rows[0].count }
    var height: Int { rows.count }

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        for y in 0..<height {
            for x in 0..<width { into[y * width + x] = rows[top + y][left + x] }
        }
    }
}

/// A black image of any size.
struct Blank: MobileNetV4.PixelSource {
    let width: Int
    let height: Int
    let orientation = MobileNetV4.Orientation.upright

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        into.update(repeating: 0, count: width * height)
    }
}

/// A frame of a camera whose planes are in memory as long as it is used.
struct YUVPixels: MobileNetV4.PixelSource, @unchecked Sendable {
    let frame: MobileNetV4.YUVFrame
    let width: Int
    let height: Int
    let orientation = MobileNetV4.Orientation.upright

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        frame.read(left: left, top: top, width: width, height: height, into: into)
    }
}

extension MobileNetV4.PixelSource {
    /// A part of the stored image.
    func part(_ left: Int, _ top: Int, _ width: Int, _ height: Int) -> [[UInt32]] {
        var pixels = [UInt32](repeating: 0, count: width * height)
        pixels.withUnsafeMutableBufferPointer {
            guard let into = $0.baseAddress else { return }
            read(left: left, top: top, width: width, height: height, into: into)
        }
        return (0..<height).map { y in pixels[y * width..<(y + 1) * width].map { $0 & 0xffffff } }
    }

    /// The stored image, checked to be the same when it is read in parts of one row or column.
    var stored: [[UInt32]] {
        let whole = part(0, 0, width, height)
        #expect((0..<height).map { part(0, $0, width, 1)[0] } == whole)
        for x in 0..<width { #expect(part(x, 0, 1, height) == whole.map { [$0[x]] }) }
        return whole
    }

    /// The RGB pixels of the upright image, row by row, at its own size.
    func upright() throws -> [UInt8] {
        let size = [uprightHeight, uprightWidth]
        let spec = MobileNetV4.PreprocessSpec(
            size: size, crop: 1, interpolation: .bicubic, mean: [0, 0, 0], std: [1, 1, 1])
        let input = MobileNetV4.TensorSpec(
            name: "image", kind: "image", shape: [1] + size + [3], dtype: .uint8, layout: .nhwc)
        return try MobileNetV4.Preprocessor(spec: spec, input: input).resized(self)
    }
}
