import Foundation
import MobileNetV4Core

/// Times the way from an image to the input of conv-small.
///
/// `benchmarks/preprocessing.py` writes the files and runs it with the folder and the seconds for
/// each source; `swift.json` gets the medians in milliseconds.
@main
struct Preprocessing {
    static func main() throws {
        let folder = URL(fileURLWithPath: CommandLine.arguments[1])
        let seconds = Double(CommandLine.arguments[2]) ?? 1
        let wanted = try Data(contentsOf: folder.appendingPathComponent("resized"))
        let sources: [(String, any MobileNetV4.PixelSource)] = [
            ("camera", try Frame(folder)), ("bitmap", try bitmap(folder)),
        ]
        var medians: [String: Double] = [:]
        for (name, source) in sources {
            let preprocessor = try preprocessor()
            guard try Data(preprocessor.resized(source)) == wanted else {
                fatalError("\(name): the resized image differs from Python's")
            }
            medians[name] = try median(preprocessor, source, seconds)
        }
        try JSONEncoder().encode(medians).write(to: folder.appendingPathComponent("swift.json"))
    }

    private static func preprocessor() throws -> MobileNetV4.Preprocessor {
        let spec = MobileNetV4.PreprocessSpec(
            size: [224, 224], crop: 0.875, interpolation: .bicubic, mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225])
        let input = MobileNetV4.TensorSpec(
            name: "image", kind: "image", shape: [1, 3, 224, 224], dtype: .float32, layout: .nchw)
        return try MobileNetV4.Preprocessor(spec: spec, input: input)
    }

    private static func bitmap(_ folder: URL) throws -> MobileNetV4.PackedPixels {
        try MobileNetV4.PackedPixels(
            bytes: Data(contentsOf: folder.appendingPathComponent("upright")), width: 480,
            height: 640, bytesPerRow: 4 * 480, format: .bgra)
    }

    private static func median(
        _ preprocessor: MobileNetV4.Preprocessor, _ source: any MobileNetV4.PixelSource,
        _ seconds: Double
    ) throws -> Double {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds)
        var times: [Duration] = []
        while clock.now < end {
            times.append(try clock.measure { try preprocessor.prepare(source) { _ in } })
        }
        return times.sorted()[times.count / 2] / .milliseconds(1)
    }
}

/// A frame of a camera, to be turned by 90 degrees.
private final class Frame: MobileNetV4.PixelSource, @unchecked Sendable {  // nothing writes to it
    let width = 640
    let height = 480
    let orientation = MobileNetV4.Orientation.turned90
    private let yuv: MobileNetV4.YUVFrame

    /// Reads planes, whose memory is never released.
    init(_ folder: URL) throws {
        func load(_ name: String) throws -> UnsafeRawBufferPointer {
            let data = try Data(contentsOf: folder.appendingPathComponent(name))
            let memory = UnsafeMutableRawBufferPointer.allocate(
                byteCount: data.count, alignment: 64)
            data.copyBytes(to: memory)
            return UnsafeRawBufferPointer(memory)
        }
        func plane(_ bytes: UnsafeRawBufferPointer, _ step: Int) -> MobileNetV4.YUVPlane {
            MobileNetV4.YUVPlane(bytes: bytes, bytesPerRow: 704, bytesPerValue: step)
        }
        let chroma = try load("vu")
        yuv = try MobileNetV4.YUVFrame(
            y: plane(load("y"), 1),
            blue: plane(UnsafeRawBufferPointer(rebasing: chroma.dropFirst()), 2),
            red: plane(chroma, 2), width: width, height: height, fullRange: true)
    }

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        yuv.read(left: left, top: top, width: width, height: height, into: into)
    }
}
