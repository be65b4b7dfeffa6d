import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests the golden cases that all languages share.
struct GoldenTests {
    struct Resized: Decodable {
        let height: Int, width: Int
        let rgb: Data, pixels: Data
        let size: [Int]
        let crop: Double
        let interpolation: MobileNetV4.Interpolation
    }

    struct Normalised: Decodable {
        let size: [Int]
        let mean: [Float], std: [Float]
        let pixels: Data, normalised: Data
    }

    struct Quantised: Decodable {
        let size: [Int]
        let mean: [Float], std: [Float]
        let dtype: MobileNetV4.ElementType
        let layout: MobileNetV4.TensorSpec.Layout
        let quantization: MobileNetV4.Quantization?
        let pixels: Data, input: Data
    }

    struct Turned: Decodable {
        let height: Int, width: Int
        let rgb: Data, upright: Data
        let orientation: Int
    }

    struct Frame: Decodable {
        struct Plane: Decodable {
            let data: Data
            let row_stride: Int, pixel_stride: Int
        }
        let y: Plane, u: Plane, v: Plane
        let crop: [Int]
        let degrees: Int
        let height: Int, width: Int
        let upright: Data
    }

    struct Latencies: Decodable {
        struct Case: Decodable {
            let name: String
            let latencies_ms: [Double]
            let expected: [String: Double?]
        }
        let cases: [Case]
    }

    private func read<Cases: Decodable>(_ name: String, as: Cases.Type) throws -> Cases {
        let data = try Data(contentsOf: Fixtures.golden.appendingPathComponent(name))
        return try JSONDecoder().decode(Cases.self, from: data)
    }

    private func tensor(
        _ size: [Int], _ dtype: MobileNetV4.ElementType, _ layout: MobileNetV4.TensorSpec.Layout
    ) -> MobileNetV4.TensorSpec {
        let shape = layout == .nchw ? [1, 3] + size : [1] + size + [3]
        return MobileNetV4.TensorSpec(
            name: "image", kind: "image", shape: shape, dtype: dtype, layout: layout)
    }

    @Test func resizingAndCroppingBitForBit() throws {
        let cases = try read("preprocess.json", as: [Resized].self)
        #expect(cases.count >= 20)
        for (i, one) in cases.enumerated() {
            let spec = MobileNetV4.PreprocessSpec(
                size: one.size, crop: one.crop, interpolation: one.interpolation,
                mean: [0, 0, 0], std: [1, 1, 1])
            let preprocessor = try MobileNetV4.Preprocessor(
                spec: spec, input: tensor(one.size, .uint8, .nhwc))
            let image = try MobileNetV4.PackedPixels(
                bytes: one.rgb, width: one.width, height: one.height,
                bytesPerRow: 3 * one.width, format: .rgb)
            let found = try preprocessor.resized(image)
            let about = "case \(i): \(one.interpolation) to \(one.size)"
            // The sine of another platform may change a lanczos value by one.
            let most = one.interpolation == .lanczos ? 1 : 0
            try #require(found.count == one.pixels.count, "\(about)")
            #expect(
                zip(found, one.pixels).allSatisfy { abs(Int($0) - Int($1)) <= most }, "\(about)")
        }
    }

    @Test func normalisingBitForBitInBothOrders() throws {
        for one in try read("normalise.json", as: [Normalised].self) {
            let spec = MobileNetV4.PreprocessSpec(
                size: one.size, crop: 1, interpolation: .bilinear, mean: one.mean, std: one.std)
            let area = one.size[0] * one.size[1]
            let planar = try MobileNetV4.Preprocessor(
                spec: spec, input: tensor(one.size, .float32, .nchw))
            let found = try planar.feed(Array(one.pixels)) { Data($0) }
            #expect(found == one.normalised)
            let interleaved = try MobileNetV4.Preprocessor(
                spec: spec, input: tensor(one.size, .float32, .nhwc))
            let turned = try interleaved.feed(Array(one.pixels)) { Data($0) }
            for c in 0..<3 {
                for i in 0..<area {
                    let (a, b) = (4 * (3 * i + c), 4 * (c * area + i))
                    try #require(turned[a..<a + 4] == one.normalised[b..<b + 4])
                }
            }
        }
    }

    @Test func bytesStayBytes() throws {
        let spec = MobileNetV4.PreprocessSpec(
            size: [1, 2], crop: 1, interpolation: .bilinear, mean: [0, 0, 0], std: [1, 1, 1])
        let pixels: [UInt8] = [1, 2, 3, 4, 5, 6]
        let nhwc = try MobileNetV4.Preprocessor(spec: spec, input: tensor([1, 2], .uint8, .nhwc))
        #expect(try nhwc.feed(pixels) { Array($0) } == pixels)
        let nchw = try MobileNetV4.Preprocessor(spec: spec, input: tensor([1, 2], .uint8, .nchw))
        #expect(try nchw.feed(pixels) { Array($0) } == [1, 4, 2, 5, 3, 6])
        #expect(message { try nchw.feed([1, 2]) { _ in } }.contains("must be 6"))
    }

    @Test func integersThatStandForFloats() throws {
        for one in try read("quantise.json", as: [Quantised].self) {
            let spec = MobileNetV4.PreprocessSpec(
                size: one.size, crop: 1, interpolation: .bilinear, mean: one.mean, std: one.std)
            let plain = tensor(one.size, one.dtype, one.layout)
            let input = MobileNetV4.TensorSpec(
                name: plain.name, kind: plain.kind, shape: plain.shape, dtype: one.dtype,
                layout: one.layout, quantization: one.quantization)
            let found = try MobileNetV4.Preprocessor(spec: spec, input: input)
                .feed(Array(one.pixels)) { Data($0) }
            #expect(found == one.input, "\(one.dtype) \(one.layout)")
        }
    }

    @Test func orientationsOfEXIF() throws {
        for one in try read("orientation.json", as: [Turned].self) {
            let stored = try MobileNetV4.PackedPixels(
                bytes: one.rgb, width: one.width, height: one.height,
                bytesPerRow: 3 * one.width, format: .rgb,
                orientation: MobileNetV4.Orientation(exif: one.orientation))
            #expect(try stored.upright() == Array(one.upright), "\(one.orientation)")
        }
    }

    @Test func camerasFramesWithinOne() throws {
        for one in try read("frame.json", as: [Frame].self) {
            let (left, top) = (one.crop[0], one.crop[1])
            let seen = try yuv(one) { $0.part(left, top, one.crop[2], one.crop[3]) }
            let turned = Grid(
                rows: seen, orientation: try MobileNetV4.Orientation(degrees: one.degrees))
            #expect((turned.uprightWidth, turned.uprightHeight) == (one.width, one.height))
            let found = try turned.upright()
            try #require(found.count == one.upright.count)
            #expect(zip(found, one.upright).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
        }
    }

    private func yuv<T>(_ frame: Frame, _ use: (YUVPixels) throws -> T) throws -> T {
        func plane<P>(_ plane: Frame.Plane, _ use: (MobileNetV4.YUVPlane) throws -> P) throws -> P {
            try plane.data.withUnsafeBytes {
                try use(
                    MobileNetV4.YUVPlane(
                        bytes: $0, bytesPerRow: plane.row_stride,
                        bytesPerValue: plane.pixel_stride))
            }
        }
        return try plane(frame.y) { y in
            try plane(frame.u) { u in
                try plane(frame.v) { v in
                    let width = frame.crop[0] + frame.crop[2]
                    let height = frame.crop[1] + frame.crop[3]
                    let planes = try MobileNetV4.YUVFrame(
                        y: y, blue: u, red: v, width: width, height: height, fullRange: true)
                    return try use(YUVPixels(frame: planes, width: width, height: height))
                }
            }
        }
    }

    @Test func statisticsOfLatencies() throws {
        for one in try read("statistics.json", as: Latencies.self).cases {
            let found = try #require(MobileNetV4.Statistics(one.latencies_ms))
            let values: [String: Double?] = [
                "p50": found.percentile(50), "p90": found.percentile(90),
                "p95": found.percentile(95), "mean": found.mean, "cv": found.variation,
                "min": found.min, "max": found.max, "n": Double(found.count),
            ]
            #expect(Set(values.keys) == Set(one.expected.keys))
            for (key, wanted) in one.expected {
                let value = try #require(values[key])
                guard let wanted else {
                    #expect(value == nil, "\(one.name): \(key)")
                    continue
                }
                let difference = abs(try #require(value) - wanted)
                #expect(difference <= 1e-9 * abs(wanted), "\(one.name): \(key)")
            }
        }
        #expect(MobileNetV4.Statistics([]) == nil)
    }

    @Test func halvesAreFloat16() {
        for bits in UInt16.min...UInt16.max {
            let wanted = Float(Float16(bitPattern: bits))
            let half = Half(bits: bits)
            if wanted.isNaN {
                #expect(half.float.isNaN)
            } else {
                #expect(half.float == wanted)
                #expect(Half(wanted).bits == bits)
            }
        }
        for step in 0..<20_000 {
            // Values between two halves, and at their midpoints, over the whole range and beyond.
            let value = (Float(step) - 10_000) * 7.013 * Float(step % 3 == 0 ? 1e-7 : 1)
            #expect(Half(value).bits == Float16(value).bitPattern, "\(value)")
        }
        #expect(Half(.nan).float.isNaN)
    }

    @Test func scores() {
        let found = Scores.softmax([1, 2, 1000])
        #expect(found == [0, 0, 1])
        let top = Scores.top([0.2, 0.4, 0.4], count: 2, labels: ["a", "b", "c"])
        #expect(top.map(\.label) == ["b", "c"])
        #expect(Scores.top([0.2, 0.8], count: 9, labels: ["0", "1"]).map(\.label) == ["1", "0"])
        #expect(Scores.sqnrDb(expected: [1, 2], found: [1, 2]) == 200)
        #expect(Scores.sqnrDb(expected: [1, 2], found: [1, .nan]) == -200)
        #expect(abs(Scores.sqnrDb(expected: [1, 0], found: [1.1, 0]) - 20) < 1e-4)
    }
}
