import Foundation
import Testing

@testable import MobileNetV4Core

struct PixelsTests {
    private let image = Grid(rows: [[0, 1, 2], [3, 4, 5]])

    @Test func everyOrientationOfEXIF() throws {
        let upright: [[UInt8]] = [
            [0, 1, 2, 3, 4, 5],
            [2, 1, 0, 5, 4, 3],
            [5, 4, 3, 2, 1, 0],
            [3, 4, 5, 0, 1, 2],
            [0, 3, 1, 4, 2, 5],
            [3, 0, 4, 1, 5, 2],
            [5, 2, 4, 1, 3, 0],
            [2, 5, 1, 4, 0, 3],
        ]
        for (i, wanted) in upright.enumerated() {
            var turned = image
            turned.orientation = MobileNetV4.Orientation(exif: i + 1)
            let found = try turned.upright().enumerated().filter { $0.offset % 3 == 2 }
            #expect(found.map(\.element) == wanted, "\(i + 1)")
        }
        #expect(MobileNetV4.Orientation(exif: 9) == .upright)
    }

    /// Each pixel says where it is; with the nearest pixel the result says what the crop covers.
    @Test(arguments: [
        ([8, 8], 0.875, 64, 48), ([8, 8], 1, 31, 57), ([6, 10], 0.8, 64, 48),
        ([10, 6], 0.5, 90, 30),
    ])
    func theCropIsWhatTheNetworkSees(
        _ size: [Int], _ crop: Double, _ width: Int, _ height: Int
    ) throws {
        let rows = (0..<height).map { y in (0..<width).map { x in UInt32(x << 8 | y) } }
        let seen = try preprocessor(size, .nearest, crop: crop).resized(Grid(rows: rows))
        let box = MobileNetV4.PreprocessSpec(
            size: size, crop: crop, interpolation: .nearest, mean: [0, 0, 0], std: [1, 1, 1]
        ).crop(width: width, height: height)
        for y in 0..<size[0] {
            for x in 0..<size[1] {
                let (atX, atY) = (
                    box.minX + box.width * (Double(x) + 0.5) / Double(size[1]),
                    box.minY + box.height * (Double(y) + 0.5) / Double(size[0])
                )
                let at = 3 * (y * size[1] + x)
                // Within rounding at the edges of pixels.
                #expect(abs(Double(seen[at + 1]) + 0.5 - atX) <= 0.5 + 1e-9, "\(x), \(y)")
                #expect(abs(Double(seen[at + 2]) + 0.5 - atY) <= 0.5 + 1e-9, "\(x), \(y)")
            }
        }
    }

    private func preprocessor(
        _ size: [Int], _ interpolation: MobileNetV4.Interpolation, crop: Double = 1
    ) throws -> MobileNetV4.Preprocessor {
        try MobileNetV4.Preprocessor(
            spec: MobileNetV4.PreprocessSpec(
                size: size, crop: crop, interpolation: interpolation, mean: [0, 0, 0],
                std: [1, 1, 1]),
            input: MobileNetV4.TensorSpec(
                name: "image", kind: "image", shape: [1] + size + [3], dtype: .uint8,
                layout: .nhwc))
    }

    @Test(arguments: MobileNetV4.Interpolation.allCases)
    func aTurnedImageIsResizedToTheSameBytes(_ interpolation: MobileNetV4.Interpolation) throws {
        let cases = [(37, 53, [11, 9]), (300, 150, [140, 130]), (7, 9, [20, 20])]
        for (width, height, size) in cases {
            let rows = (0..<height).map { _ in
                (0..<width).map { _ in UInt32.random(in: 0...0xffffff) }
            }
            let preprocessor = try preprocessor(size, interpolation, crop: 0.875)
            for orientation in MobileNetV4.Orientation.allCases {
                let stored = Grid(rows: rows, orientation: orientation)
                let bytes = try stored.upright()
                let upright = try MobileNetV4.PackedPixels(
                    bytes: Data(bytes), width: stored.uprightWidth, height: stored.uprightHeight,
                    bytesPerRow: 3 * stored.uprightWidth, format: .rgb)
                let wanted = try preprocessor.resized(upright)
                let found = try preprocessor.resized(stored)
                #expect(found == wanted, "\(orientation) \(width) x \(height)")
            }
        }
    }

    /// Fails for pixels that the crop does not need.
    private struct Centre: MobileNetV4.PixelSource {
        let width = 1000
        let height = 400
        let orientation: MobileNetV4.Orientation

        func read(
            left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
        ) {
            #expect(left >= 290 && left + width <= 710)
            #expect(width * height <= 128 * 420)
            into.update(repeating: 0x010203, count: width * height)
        }
    }

    @Test func onlyWhatTheCropNeedsIsRead() throws {
        for orientation in MobileNetV4.Orientation.allCases {
            let image = Centre(orientation: orientation)
            let found = try preprocessor([64, 64], .bilinear).resized(image)
            #expect(found == (0..<64 * 64).flatMap { _ in [1, 2, 3] as [UInt8] })
        }
    }

    @Test func rotationsOfACamera() throws {
        #expect(try MobileNetV4.Orientation(degrees: 90) == .turned90)
        #expect(try MobileNetV4.Orientation(degrees: -90) == .turned270)
        #expect(message { try MobileNetV4.Orientation(degrees: 45) }.contains("found 45 degrees"))
    }

    private func pixels(
        _ bytes: [UInt8], _ format: MobileNetV4.PixelFormat, width: Int = 1, height: Int = 1,
        row: Int? = nil
    ) throws -> [[UInt32]] {
        let image = try MobileNetV4.PackedPixels(
            bytes: Data(bytes), width: width, height: height,
            bytesPerRow: row ?? width * format.bytesPerPixel, format: format)
        return image.stored
    }

    private func format(
        _ samples: Int, bits: Int = 8, alphaFirst: Bool = false, premultiplied: Bool = false,
        little: Bool = false
    ) throws -> MobileNetV4.PixelFormat {
        try #require(
            MobileNetV4.PixelFormat(
                samples: samples, bitsPerSample: bits, alphaFirst: alphaFirst,
                premultiplied: premultiplied, littleEndian: little))
    }

    @Test func alphaIsDroppedWithoutBlending() throws {
        #expect(try pixels([1, 2, 3, 0], format(4)) == [[0x010203]])
        #expect(try pixels([9, 1, 2, 3], format(4, alphaFirst: true)) == [[0x010203]])
        #expect(try pixels([3, 2, 1, 9], .bgra) == [[0x010203]])
        #expect(
            try pixels([3, 2, 1, 9], format(4, alphaFirst: true, little: true)) == [[0x010203]])
        #expect(try pixels([7, 0], format(2)) == [[0x070707]])
    }

    @Test func whatWasMultipliedWithAlphaIsDivided() throws {
        let rgba = try format(4, premultiplied: true)
        #expect(try pixels([64, 32, 0, 128], rgba) == [[0x804000]])
        #expect(try pixels([1, 2, 3, 255], rgba) == [[0x010203]])
        #expect(try pixels([0, 0, 0, 0], rgba) == [[0]])
        let argb = try format(4, alphaFirst: true, premultiplied: true)
        #expect(try pixels([128, 64, 32, 0], argb) == [[0x804000]])
    }

    @Test func highBytesOf16Bits() throws {
        #expect(try pixels([1, 255, 2, 255, 3, 255], format(3, bits: 16)) == [[0x010203]])
        #expect(
            try pixels([255, 1, 255, 2, 255, 3], format(3, bits: 16, little: true)) == [[0x010203]])
        #expect(
            try pixels([255, 1, 255, 2, 255, 3, 0, 0], format(4, bits: 16, little: true))
                == [[0x010203]])
        #expect(try pixels([5, 255], format(1, bits: 16)) == [[0x050505]])
    }

    @Test func greyIsRepeatedAndRowsMayHaveGaps() throws {
        let rows = try pixels([1, 2, 9, 9, 3, 4], .grey, width: 2, height: 2, row: 4)
        #expect(rows == [[0x010101, 0x020202], [0x030303, 0x040404]])
        let slice = Data([9, 9, 1, 2, 3])[2...]
        let image = try MobileNetV4.PackedPixels(
            bytes: slice, width: 1, height: 1, bytesPerRow: 3, format: .rgb)
        #expect(image.stored == [[0x010203]])
    }

    @Test func whatIsNoImageIsRefused() {
        #expect(message { try pixels([], .rgb, width: 0) }.contains("found 0 x 1 pixels"))
        #expect(message { try pixels([1], .rgb, height: -1) }.contains("must be 1 x 1 or more"))
        #expect(message { try pixels([1, 2], .rgb) }.contains("found 2 bytes"))
        #expect(message { try pixels([1, 2, 3], .rgb, width: 1, row: 2) }.contains("bytes"))
        let outside = MobileNetV4.PixelFormat(bytesPerPixel: 3, red: 0, green: 1, blue: 3)
        #expect(message { try pixels([1, 2, 3], outside) }.contains("must lie in the 3 bytes"))
        #expect(
            MobileNetV4.PixelFormat(
                samples: 5, bitsPerSample: 8, alphaFirst: false, premultiplied: false,
                littleEndian: false) == nil)
        #expect(
            MobileNetV4.PixelFormat(
                samples: 3, bitsPerSample: 10, alphaFirst: false, premultiplied: false,
                littleEndian: false) == nil)
    }

    private func yuv(
        _ y: UInt8, _ blue: UInt8, _ red: UInt8, fullRange: Bool,
        _ matrix: MobileNetV4.YUVFrame.Matrix = .bt601
    ) throws -> UInt32 {
        try [y].withUnsafeBytes { y in
            try [blue, red].withUnsafeBytes { chroma in
                let frame = try MobileNetV4.YUVFrame(
                    y: MobileNetV4.YUVPlane(bytes: y, bytesPerRow: 1, bytesPerValue: 1),
                    blue: MobileNetV4.YUVPlane(bytes: chroma, bytesPerRow: 2, bytesPerValue: 2),
                    red: MobileNetV4.YUVPlane(
                        bytes: UnsafeRawBufferPointer(rebasing: chroma[1...]), bytesPerRow: 2,
                        bytesPerValue: 2),
                    width: 1, height: 1, fullRange: fullRange, matrix: matrix)
                return YUVPixels(frame: frame, width: 1, height: 1).stored[0][0]
            }
        }
    }

    @Test func coloursOfACameraFrame() throws {
        // BT.601 over the full range: pure red is (76, 85, 255), pure blue (29, 255, 107).
        #expect(try yuv(76, 85, 255, fullRange: true) == 0xfe0000)
        #expect(try yuv(29, 255, 107, fullRange: true) == 0x0000fe)
        #expect(try yuv(100, 128, 128, fullRange: true) == 0x646464)
        // Over the video range black is 16, white 235; pure red is (81, 90, 240).
        #expect(try yuv(16, 128, 128, fullRange: false) == 0)
        #expect(try yuv(235, 128, 128, fullRange: false) == 0xffffff)
        #expect(try yuv(81, 90, 240, fullRange: false) == 0xfe0000)
        #expect(try yuv(0, 128, 128, fullRange: false) == 0)
    }

    private struct Coloured: Decodable {
        let matrix: String
        let full_range: Bool  // swift-format-ignore: AlwaysUseLowerCamelCase
        let yuv: Data
        let rgb: Data
    }

    @Test func coloursOfAllMatrices() throws {
        let file = Fixtures.golden.appendingPathComponent("colour.json")
        let cases = try JSONDecoder().decode([Coloured].self, from: Data(contentsOf: file))
        #expect(Set(cases.map(\.matrix)).count == 3)
        for one in cases {
            let matrix = try #require(MobileNetV4.YUVFrame.Matrix(rawValue: one.matrix))
            for at in stride(from: 0, to: one.yuv.count, by: 3) {
                let found = try yuv(
                    one.yuv[at], one.yuv[at + 1], one.yuv[at + 2], fullRange: one.full_range, matrix
                )
                for channel in 0..<3 {
                    let value = Int(found >> UInt32(16 - 8 * channel) & 255)
                    #expect(abs(value - Int(one.rgb[at + channel])) <= 1, "\(one.matrix) \(at)")
                }
            }
        }
    }

    @Test func theMatrixOfAFrame() {
        let matrix = MobileNetV4.YUVFrame.Matrix.of
        #expect(matrix("ITU_R_601_4", 1080) == .bt601)
        #expect(matrix("ITU_R_2020", 480) == .bt2020)
        #expect(matrix(nil, 480) == .bt601)
        #expect(matrix(nil, 720) == .bt709)
        #expect(matrix("SMPTE_240M_1995", 1080) == .bt709)
    }

    @Test func aFrameThatIsTooSmall() {
        let found = message {
            try [UInt8](repeating: 0, count: 11).withUnsafeBytes {
                let plane = MobileNetV4.YUVPlane(bytes: $0, bytesPerRow: 4, bytesPerValue: 1)
                return try MobileNetV4.YUVFrame(
                    y: plane, blue: plane, red: plane, width: 4, height: 3, fullRange: true)
            }
        }
        #expect(found.contains("found a plane of 11 bytes, 4 x 3 values are 12 or more"))
    }

    @Test func aSizeThatNeedsNoFilterIsCopied() throws {
        let preprocessor = try preprocessor([2, 2], .bicubic)
        // The crop of three columns to two begins at rint(0.5) = 0.
        #expect(try preprocessor.resized(image) == [0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4])
        let long = Blank(width: 200_000_000, height: 1)
        #expect(message { try preprocessor.resized(long) }.contains("at most"))
    }

    @Test func anInputThatCannotBeFilled() {
        let spec = MobileNetV4.PreprocessSpec(
            size: [2, 2], crop: 1, interpolation: .bicubic, mean: [0, 0, 0], std: [1, 1, 1])
        for (shape, layout) in [
            ([2, 2, 2, 3], MobileNetV4.TensorSpec.Layout.nhwc), ([1, 3, 2, 2], nil),
        ] {
            let input = MobileNetV4.TensorSpec(
                name: "image", kind: "image", shape: shape, dtype: .float32, layout: layout)
            #expect(
                message { try MobileNetV4.Preprocessor(spec: spec, input: input) }
                    .contains("one image at a time"))
        }
    }

    @Test func anOutputOfManyAxes() throws {
        let spec = MobileNetV4.TensorSpec(
            name: "x", kind: "embedding", shape: [1, 2] + Array(repeating: 1, count: 200_000),
            dtype: .float32, layout: nil)
        #expect(try [1, 2 as Float].withUnsafeBytes { try spec.floats($0) } == [1, 2])
    }

    @Test func aFrameWhoseRowsAreTooLong() {
        for (row, value) in [(Int.max, 1), (1, Int.max), (Int.min, 1), (-1, -1)] {
            let found = message {
                try [UInt8](repeating: 0, count: 11).withUnsafeBytes {
                    let plane = MobileNetV4.YUVPlane(
                        bytes: $0, bytesPerRow: row, bytesPerValue: value)
                    return try MobileNetV4.YUVFrame(
                        y: plane, blue: plane, red: plane, width: 4, height: 3, fullRange: true)
                }
            }
            #expect(found.contains("found a plane of 11 bytes"), "\(row), \(value): \(found)")
        }
    }

    @Test func outputsThatLieApart() throws {
        let spec = MobileNetV4.TensorSpec(
            name: "x", kind: "stage_1", shape: [1, 2, 2], dtype: .float32, layout: nil)
        let values: [Float] = [1, 2, 9, 9, 3, 4]
        func read(_ strides: [Int]?) throws -> [Float] {
            try values.withUnsafeBytes { try spec.floats($0, strides: strides) }
        }
        #expect(try read([6, 4, 1]) == [1, 2, 3, 4])
        #expect(try read(nil) == [1, 2, 9, 9])
        #expect(message { try read([6, 5, 1]) }.contains("24 bytes"))
        // What a runtime gave in its own type and order of elements.
        let halves: [UInt16] = [0x3c00, 0x4000, 0, 0, 0x4200, 0x4400]
        func given(_ shape: [Int]) throws -> [Float] {
            try halves.withUnsafeBytes {
                try spec.floats($0, of: .float16, shape: shape, strides: [6, 4, 1])
            }
        }
        #expect(try given([1, 2, 2]) == [1, 2, 3, 4])
        #expect(message { try given([2, 2, 1]) } == "output x: found [2, 2, 1], must be [1, 2, 2]")
        let grid = MobileNetV4.TensorSpec(
            name: "x", kind: "logits", shape: [1, 2], dtype: .int8, layout: nil,
            quantization: MobileNetV4.Quantization(scale: 0.5, zeroPoint: 1))
        let integers = [UInt8(3), UInt8(bitPattern: -1)]
        #expect(try integers.withUnsafeBytes { try grid.floats($0) } == [1, -1])
        func given(_ type: MobileNetV4.ElementType) throws -> [Float] {
            try integers.withUnsafeBytes {
                try grid.floats($0, of: type, shape: [1, 2], strides: [2, 1])
            }
        }
        #expect(try given(.int8) == [1, -1])
        // The manifest's scale is for its own type.
        #expect(message { try given(.uint8) } == "output x: found uint8, must be int8")
        #expect(message { try given(.float16) } == "output x: found float16, must be int8")
    }

    @Test func integersForStrangeMeansAndScales() throws {
        for (mean, wanted): (Float, [Int8]) in [(-3e38, [127]), (3e38, [-128])] {
            let spec = MobileNetV4.PreprocessSpec(
                size: [1, 1], crop: 1, interpolation: .bicubic, mean: [mean, mean, mean],
                std: [1e-38, 1e-38, 1e-38])
            let input = MobileNetV4.TensorSpec(
                name: "image", kind: "image", shape: [1, 1, 1, 3], dtype: .int8, layout: .nhwc,
                quantization: MobileNetV4.Quantization(scale: 0.02, zeroPoint: 1))
            let found = try MobileNetV4.Preprocessor(spec: spec, input: input).feed([0, 9, 255]) {
                $0.map { Int8(bitPattern: $0) }
            }
            #expect(Set(found) == Set(wanted))
        }
    }

    @Test func sizesThatNoImageHas() throws {
        let most = Int.max
        for (width, height, row) in [
            (most, 1, 3), (1, most, 3), (most, most, most), (1 << 32, 1 << 32, 3),
            (2, 2, most), (1, 1, -3), (2, 2, Int.min), (1, 178_956_971, 3),
        ] {
            let found = message {
                try pixels([1, 2, 3], .rgb, width: width, height: height, row: row)
            }
            #expect(found.contains("image: found"), "\(width) x \(height), \(row): \(found)")
        }
        let wide = MobileNetV4.PixelFormat(bytesPerPixel: most, red: 0, green: 1, blue: 2)
        #expect(
            message { try pixels([1, 2, 3], wide, width: 2, row: 3) }.contains("rows of 3 bytes"))
        let preprocessor = try preprocessor([2, 2], .nearest)
        for (width, height) in [(most, most), (most, 1), (1, most), (0, 1), (1, -1)] {
            let blank = Blank(width: width, height: height)
            #expect(message { try preprocessor.resized(blank) }.contains("image: found"))
        }
    }
}
