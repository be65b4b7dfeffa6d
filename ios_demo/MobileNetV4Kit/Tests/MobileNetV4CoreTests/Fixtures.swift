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

    static let float32 = "conv-small-035-96x96-fp32-coreml"
    static let float16 = "conv-small-035-96x96-fp16-coreml"
    static let executorch = "conv-small-035-96x96-fp32-executorch"

    /// The path of a Core ML artifact in its bundle.
    static func package(_ name: String) -> String {
        name.replacingOccurrences(of: "-coreml", with: ".mlpackage")
    }

    static func bundle(_ name: String) -> URL {
        folder.appendingPathComponent("bundles/\(name)")
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
struct Grid: PixelSource {
    let rows: [[UInt32]]
    var width: Int { rows[0].count }
    var height: Int { rows.count }

    func readRow(_ y: Int, into line: inout [UInt32]) {
        for x in 0..<width { line[x] = rows[y][x] }
    }

    func readColumn(_ x: Int, into line: inout [UInt32]) {
        for y in 0..<height { line[y] = rows[y][x] }
    }
}

/// A black image of any size.
struct Blank: PixelSource {
    let width: Int
    let height: Int

    func readRow(_ y: Int, into line: inout [UInt32]) {
        for x in 0..<width { line[x] = 0 }
    }

    func readColumn(_ x: Int, into line: inout [UInt32]) {
        for y in 0..<height { line[y] = 0 }
    }
}

extension PixelSource {
    /// All pixels, read by rows.
    var byRows: [[UInt32]] {
        var line = [UInt32](repeating: 0, count: max(width, height))
        return (0..<height).map { y in
            readRow(y, into: &line)
            return Array(line[..<width]).map { $0 & 0xffffff }
        }
    }

    /// All pixels, read by columns.
    var byColumns: [[UInt32]] {
        var line = [UInt32](repeating: 0, count: max(width, height))
        let columns = (0..<width).map { x in
            readColumn(x, into: &line)
            return Array(line[..<height]).map { $0 & 0xffffff }
        }
        return (0..<height).map { y in columns.map { $0[y] } }
    }
}
