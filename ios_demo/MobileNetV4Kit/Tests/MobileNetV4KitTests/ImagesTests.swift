import CoreGraphics
import CoreVideo
import Foundation
import MobileNetV4Kit
import XCTest

/// Tests the pixels of the platform's images.
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

    private func image(
        _ bytes: [UInt8], bits: Int, samples: Int, space: CFString, info: UInt32
    ) throws -> CGImage {
        let provider = try XCTUnwrap(CGDataProvider(data: Data(bytes) as CFData))
        return try XCTUnwrap(
            CGImage(
                width: 1, height: 1, bitsPerComponent: bits, bitsPerPixel: bits * samples,
                bytesPerRow: bytes.count, space: try XCTUnwrap(CGColorSpace(name: space)),
                bitmapInfo: CGBitmapInfo(rawValue: info), provider: provider, decode: nil,
                shouldInterpolate: false, intent: .defaultIntent))
    }

    func testSamplesOf8And16BitsGreyAndAlpha() throws {
        let (rgb, grey) = (CGColorSpace.sRGB, CGColorSpace.linearGray)
        let last = CGImageAlphaInfo.last.rawValue
        let little = CGImageByteOrderInfo.order32Little.rawValue
        let cases: [([UInt8], Int, Int, CFString, UInt32, UInt32)] = [
            ([1, 2, 3, 0], 8, 4, rgb, last, 0x010203),
            ([3, 2, 1, 9], 8, 4, rgb, CGImageAlphaInfo.first.rawValue | little, 0x010203),
            ([64, 32, 0, 128], 8, 4, rgb, CGImageAlphaInfo.premultipliedLast.rawValue, 0x804000),
            ([1, 9, 2, 9, 3, 9, 0, 0], 16, 4, rgb, last, 0x010203),
            ([7], 8, 1, grey, CGImageAlphaInfo.none.rawValue, 0x070707),
        ]
        for (bytes, bits, samples, space, info, wanted) in cases {
            let image = try image(bytes, bits: bits, samples: samples, space: space, info: info)
            XCTAssertEqual(rows(try MobileNetV4.Images.pixels(of: image)), [[wanted]], "\(bytes)")
        }
    }

    func testAFileIsTurnedUpright() throws {
        let data = try XCTUnwrap(Data(base64Encoded: Self.jpeg))
        let image = try MobileNetV4.Images.decode(data)
        XCTAssertEqual(image.orientation, .turned90)
        let found = rows(image)
        XCTAssertEqual(found.count, 8)
        XCTAssertEqual(found.first?.count, 16)
        XCTAssertGreaterThan(found[4][0] >> 16, 200)
        XCTAssertGreaterThan(found[4][15] & 0xff, 200)
        XCTAssertThrowsError(try MobileNetV4.Images.decode(Data([1, 2, 3])))
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
}
