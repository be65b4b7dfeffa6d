import CoreGraphics
import CoreImage
import CoreVideo
import Foundation
import MobileNetV4Kit
import XCTest

/// Tests the pixels of the platform's images. On Linux they hold what they were made of, and cannot be
/// drawn, decoded or rendered.
final class ImagesTests: XCTestCase {
    /// Red on the left, blue on the right, 16 x 8, to be turned clockwise (EXIF orientation 6).
    private static let jpeg =
        "/9j/4AAQSkZJRgABAQAAAQABAAD/4QAiRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAD/2wBDAAMCAgMCAg"
        + "MDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQME"
        + "BAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAAR"
        + "CAAIABADAREAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAABwj/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEB"
        + "AQAAAAAAAAAAAAAAAAAACQf/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwCdEMKmAjjB0f/Z"

    /// Returns the pixels as they are stored.
    private func rows(_ source: any MobileNetV4.PixelSource) -> [[UInt32]] {
        let (width, height) = (source.width, source.height)
        let pixels = UnsafeMutablePointer<UInt32>.allocate(capacity: width * height)
        defer { pixels.deallocate() }
        source.read(left: 0, top: 0, width: width, height: height, into: pixels)
        return (0..<height).map { y in (0..<width).map { pixels[y * width + $0] & 0xffffff } }
    }

    private func made(
        _ bytes: [UInt8], bits: Int, samples: Int, space: CFString, info: UInt32,
        size: (width: Int, height: Int) = (1, 1), bytesPerRow: Int? = nil
    ) throws -> CGImage? {
        let provider = try XCTUnwrap(CGDataProvider(data: Data(bytes) as CFData))
        return CGImage(
            width: size.width, height: size.height, bitsPerComponent: bits,
            bitsPerPixel: bits * samples, bytesPerRow: bytesPerRow ?? bytes.count,
            space: try XCTUnwrap(CGColorSpace(name: space)),
            bitmapInfo: CGBitmapInfo(rawValue: info), provider: provider, decode: nil,
            shouldInterpolate: false, intent: .defaultIntent)
    }

    private func image(
        _ bytes: [UInt8], bits: Int, samples: Int, space: CFString, info: UInt32
    ) throws -> CGImage {
        try XCTUnwrap(made(bytes, bits: bits, samples: samples, space: space, info: info))
    }

    /// Returns the pixels, or nil if they are refused. Any error but that of the enum fails the test.
    private func rowsOrRefused(
        _ source: @autoclosure () throws -> any MobileNetV4.PixelSource
    ) throws -> [[UInt32]]? {
        do {
            return rows(try source())
        } catch MobileNetV4.Failure.badImage(let why) {
            XCTAssertTrue(why.hasPrefix("image: ") || why.hasPrefix("frame: "), why)
            return nil
        }
    }

    func testSamplesOf8And16BitsGreyAndAlpha() throws {
        let (rgb, grey) = (CGColorSpace.sRGB, CGColorSpace.linearGray)
        let last = CGImageAlphaInfo.last.rawValue
        let little = CGImageByteOrderInfo.order32Little.rawValue
        let little16 = CGImageByteOrderInfo.order16Little.rawValue
        let cases: [([UInt8], Int, Int, CFString, UInt32, UInt32)] = [
            ([1, 2, 3, 0], 8, 4, rgb, last, 0x010203),
            ([3, 2, 1, 9], 8, 4, rgb, CGImageAlphaInfo.first.rawValue | little, 0x010203),
            ([64, 32, 0, 128], 8, 4, rgb, CGImageAlphaInfo.premultipliedLast.rawValue, 0x804000),
            ([1, 9, 2, 9, 3, 9, 0, 0], 16, 4, rgb, last, 0x010203),
            ([1, 9, 2, 9, 3, 9], 16, 3, rgb, CGImageAlphaInfo.none.rawValue, 0x010203),
            ([9, 1, 9, 2, 9, 3, 0, 0], 16, 4, rgb, last | little16, 0x010203),
            ([7], 8, 1, grey, CGImageAlphaInfo.none.rawValue, 0x070707),
            ([7, 99], 8, 2, grey, last, 0x070707),
            ([7, 99], 16, 1, grey, CGImageAlphaInfo.none.rawValue, 0x070707),
        ]
        for (bytes, bits, samples, space, info, wanted) in cases {
            let image = try image(bytes, bits: bits, samples: samples, space: space, info: info)
            XCTAssertEqual(rows(try MobileNetV4.Images.pixels(of: image)), [[wanted]], "\(bytes)")
        }
    }

    func testEveryDescriptionOfAnImageIsReadOrRefused() throws {
        let spaces = [
            CGColorSpace.sRGB, CGColorSpace.linearGray, CGColorSpace.genericCMYK,
            CGColorSpace.genericLab,
        ]
        let floats = CGBitmapInfo.floatComponents.rawValue
        var read = 0
        for bits in [1, 2, 4, 5, 8, 10, 12, 16, 32] {
            for (samples, space) in (1...5).flatMap({ n in spaces.map { (n, $0) } }) {
                for alpha in UInt32(0)...7 {
                    for order in UInt32(0)...4 {
                        for kind in [0, floats] {
                            let found = try made(
                                [UInt8](repeating: 200, count: 64), bits: bits, samples: samples,
                                space: space, info: alpha | order << 12 | kind, size: (2, 2),
                                bytesPerRow: 32)
                            guard let found else { continue }  // Core Graphics has no such images.
                            let pixels = try rowsOrRefused(
                                try MobileNetV4.Images.pixels(of: found))
                            XCTAssertEqual(pixels?.map(\.count) ?? [2, 2], [2, 2])
                            read += pixels == nil ? 0 : 1
                        }
                    }
                }
            }
        }
        XCTAssertGreaterThan(read, 50)
    }

    func testCMYKIsDrawnOrRefused() throws {
        let white = try image(
            [0, 0, 0, 0], bits: 8, samples: 4, space: CGColorSpace.genericCMYK, info: 0)
        guard let found = try rowsOrRefused(try MobileNetV4.Images.pixels(of: white)) else {
            return
        }
        for shift: UInt32 in [0, 8, 16] { XCTAssertGreaterThan(found[0][0] >> shift & 255, 240) }
    }

    func testImagesWithoutPixelsOrWithFewerThanTheySay() throws {
        func refused(_ size: (Int, Int), _ bytes: Int, _ row: Int) throws {
            let image = try made(
                [UInt8](repeating: 1, count: bytes), bits: 8, samples: 4, space: CGColorSpace.sRGB,
                info: CGImageAlphaInfo.last.rawValue, size: size, bytesPerRow: row)
            guard let image else { return }  // Core Graphics refuses it.
            XCTAssertNil(
                try rowsOrRefused(try MobileNetV4.Images.pixels(of: image)), "\(size) \(row)")
        }
        for (width, height) in [(0, 0), (0, 4), (4, 0)] { try refused((width, height), 64, 16) }
        try refused((4, 4), 63, 16)
        try refused((4, 4), 0, 16)
        try refused((4, 4), 64, 15)
        try refused((4, 4), 64, -16)
        try refused((4, 4), 64, 0)
        try refused((1 << 16, 1 << 16), 64, 1 << 18)
        try refused((Int.max, 1), 64, Int.max)
        try refused((1, Int.max), 64, 4)
    }

    func testImagesOfCoreImage() throws {
        let image = CIImage(
            cgImage: try image(
                [1, 2, 3, 255], bits: 8, samples: 4, space: CGColorSpace.sRGB,
                info: CGImageAlphaInfo.last.rawValue))
        // Rendered only on Apple's systems.
        if let found = try rowsOrRefused(try MobileNetV4.Images.pixels(of: image)) {
            XCTAssertEqual(found, [[0x010203]])
        }
        let endless = CIImage.white
        for (refused, why) in [
            (endless, "image: has an extent without limits; crop it first"),
            (CIImage.empty(), "image: found 0 x 0 pixels, must be 1 x 1 or more"),
            (
                endless.cropped(to: CGRect(x: -1e9, y: 0, width: 2e9, height: 2e9)),
                "image: found 250000000 x 250000000, at most 178956970 pixels are allowed"
            ),
        ] {
            XCTAssertThrowsError(try MobileNetV4.Images.pixels(of: refused)) {
                XCTAssertEqual("\($0)", why)
            }
        }
    }

    func testImagesOfCoreImageOfAbsurdSizes() {
        for side in [1e18, 1e19, 1e300, .greatestFiniteMagnitude] {
            let image = CIImage.white.cropped(to: CGRect(x: 0, y: 0, width: side, height: side))
            XCTAssertThrowsError(try MobileNetV4.Images.pixels(of: image), "\(side)") {
                XCTAssertTrue($0 is MobileNetV4.Failure)
            }
        }
    }

    #if !os(Linux)
        func testAFileIsTurnedUpright() throws {
            let data = try XCTUnwrap(Data(base64Encoded: Self.jpeg))
            let image = try MobileNetV4.Images.decode(data)
            XCTAssertEqual(image.orientation, .turned90)
            let found = rows(image)
            XCTAssertEqual(found.count, 8)
            XCTAssertEqual(found.first?.count, 16)
            XCTAssertGreaterThan(found[4][0] >> 16, 200)
            XCTAssertGreaterThan(found[4][15] & 0xff, 200)
        }
    #endif

    func testAFileThatIsNoImage() {
        for bytes in [[], [1, 2, 3]] as [[UInt8]] {
            XCTAssertThrowsError(try MobileNetV4.Images.decode(Data(bytes))) {
                XCTAssertTrue($0 is MobileNetV4.Failure)
            }
        }
    }

    func testFramesOfACamera() throws {
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, 2, 1, kCVPixelFormatType_32BGRA, nil, &made)
        let frame = try XCTUnwrap(made)
        CVPixelBufferLockBaseAddress(frame, [])
        let base = try XCTUnwrap(CVPixelBufferGetBaseAddress(frame))
        base.copyMemory(from: [3, 2, 1, 255, 6, 5, 4, 255] as [UInt8], byteCount: 8)
        CVPixelBufferUnlockBaseAddress(frame, [])
        XCTAssertEqual(rows(try MobileNetV4.Images.pixels(of: frame)), [[0x010203, 0x040506]])
        XCTAssertEqual(try MobileNetV4.Images.pixels(of: frame, degrees: 90).orientation, .turned90)
        XCTAssertThrowsError(try MobileNetV4.Images.pixels(of: frame, degrees: 45))
    }

    private func frame(_ width: Int, _ height: Int, _ format: OSType) -> CVPixelBuffer? {
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, width, height, format, nil, &made)
        return made
    }

    func testFramesOfTwoPlanes() throws {
        // Grey of 100 in full range; 126 in video range is (126 - 16) * 255 / 219.
        for (format, luma, wanted) in [
            (kCVPixelFormatType_420YpCbCr8BiPlanarFullRange, 100, 0x646464),
            (kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange, 126, 0x808080),
        ] as [(OSType, UInt8, UInt32)] {
            let frame = try XCTUnwrap(frame(5, 3, format))
            CVPixelBufferLockBaseAddress(frame, [])
            for (plane, value) in [(0, luma), (1, 128)] {
                let bytes = try XCTUnwrap(CVPixelBufferGetBaseAddressOfPlane(frame, plane))
                let row = CVPixelBufferGetBytesPerRowOfPlane(frame, plane)
                let count = row * CVPixelBufferGetHeightOfPlane(frame, plane)
                bytes.initializeMemory(as: UInt8.self, repeating: value, count: count)
            }
            CVPixelBufferUnlockBaseAddress(frame, [])
            let found = rows(try MobileNetV4.Images.pixels(of: frame))
            XCTAssertEqual(found, Array(repeating: Array(repeating: wanted, count: 5), count: 3))
        }
    }

    func testFramesThatAreRefused() throws {
        // YUV of three planes and of 10 bits, RGB of 10 bits, grey, ARGB, and what does not exist.
        for format: OSType in [
            0x7934_3230, 0x7834_3230, 0x6c31_3072, 0x4c30_3038, 0x20, 0, OSType.max,
        ] {
            guard let frame = frame(4, 4, format) else { continue }
            XCTAssertThrowsError(try MobileNetV4.Images.pixels(of: frame)) {
                XCTAssertTrue(
                    "\($0)".hasSuffix(", allowed: BGRA, 420f, 420v"), "\($0)")
            }
        }
        for format in [
            kCVPixelFormatType_32BGRA, kCVPixelFormatType_420YpCbCr8BiPlanarFullRange,
        ] {
            for (width, height) in [(0, 0), (0, 4), (4, 0)] {
                guard let frame = frame(width, height, format) else { continue }
                XCTAssertNil(try rowsOrRefused(try MobileNetV4.Images.pixels(of: frame)))
            }
        }
    }
}
