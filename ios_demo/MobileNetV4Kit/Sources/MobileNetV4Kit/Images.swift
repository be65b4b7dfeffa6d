import CoreGraphics
@preconcurrency import CoreImage
import CoreVideo
import Foundation
import ImageIO

extension MobileNetV4 {
    /// Makes sources of pixels from the platform's images.
    public enum Images {
        /// Returns an image's pixels.
        ///
        /// Samples of 8 and 16 bits, grey or RGB, are read as they are stored: colour profiles are not
        /// applied and alpha is dropped without blending, as in training. Anything else
        /// (CMYK, palettes, floats) is drawn into sRGB first.
        ///
        /// - Parameters:
        ///   - image: An image of any size.
        ///   - orientation: How it is stored, as ImageIO says.
        /// - Throws: ``Failure/badImage(_:)`` if it has no pixels, or they cannot be read.
        public static func pixels(
            of image: CGImage, orientation: CGImagePropertyOrientation = .up
        ) throws -> any PixelSource {
            let orientation = Orientation(exif: Int(orientation.rawValue))
            try PackedPixels.check(width: image.width, height: image.height)
            let stored = try packed(image, orientation) ?? packed(drawn(image), orientation)
            guard let stored else {
                throw Failure.badImage(
                    "image: found \(image.bitsPerComponent) bits a sample, cannot be drawn into 8")
            }
            return stored
        }

        /// Renders an image of Core Image into sRGB and returns its pixels.
        ///
        /// - Parameters:
        ///   - image: An image with a limited extent.
        ///   - orientation: How it is stored, as ImageIO says.
        ///   - maxPixels: An image with more pixels is rendered at 1/2, 1/4 or 1/8 of its width and
        ///     height, so that it has at most as many. Memory for each is four bytes.
        /// - Throws: ``Failure/badImage(_:)`` if it has no extent or one without limits, or cannot be
        ///   rendered.
        public static func pixels(
            of image: CIImage, orientation: CGImagePropertyOrientation = .up,
            maxPixels: Int = maxPixels
        ) throws -> any PixelSource {
            func size(_ extent: CGRect) throws -> (width: Int, height: Int) {
                guard let width = Int(exactly: extent.width),
                    let height = Int(exactly: extent.height)
                else {
                    throw Failure.badImage("image: has an extent without limits; crop it first")
                }
                return (width, height)
            }
            let (width, height) = try size(image.extent.integral)
            let factor = PackedPixels.sampling(width: width, height: height, maxPixels: maxPixels)
            let scale = CGAffineTransform(scaleX: 1 / CGFloat(factor), y: 1 / CGFloat(factor))
            let small =
                factor > 1 ? image.transformed(by: scale, highQualityDownsample: true) : image
            let extent = small.extent.integral
            let found = try size(extent)
            try PackedPixels.check(width: found.width, height: found.height)
            let rendered = renderer.context.createCGImage(
                small, from: extent, format: .RGBA8,
                colorSpace: CGColorSpace(name: CGColorSpace.sRGB))
            guard let rendered else {
                throw Failure.badImage(
                    "image: Core Image cannot render its \(found.width) x \(found.height) pixels")
            }
            return try pixels(of: rendered, orientation: orientation)
        }

        /// Apple's documentation says that many threads may use one context.
        private struct Renderer: @unchecked Sendable {
            let context = CIContext()
        }

        private static let renderer = Renderer()

        /// Returns a camera frame's pixels, read from its planes without an intermediate image.
        ///
        /// The result keeps the frame; nothing may write to the frame as long as the result exists.
        ///
        /// - Parameters:
        ///   - frame: BGRA, or YUV of 8 bits (`420f`, `420v`).
        ///   - degrees: By how much the frame is turned clockwise to be upright.
        /// - Throws: ``Failure/badImage(_:)`` for another format, or no multiple of 90.
        public static func pixels(
            of frame: CVPixelBuffer, degrees: Int = 0
        ) throws -> any PixelSource {
            try FramePixels(frame, orientation: Orientation(degrees: degrees))
        }

        /// The most pixels of an image that are decoded, unless a caller says otherwise.
        public static let maxPixels = 1 << 24

        /// Decodes an image file (JPEG, HEIC, PNG, ...) and turns it as its EXIF orientation says.
        ///
        /// - Parameters:
        ///   - data: The file's content.
        ///   - maxPixels: An image with more pixels is decoded at 1/2, 1/4 or 1/8 of its width and
        ///     height, so that it has at most as many, if its format allows. Memory for each is four
        ///     bytes.
        /// - Throws: ``Failure/badImage(_:)`` if it cannot be decoded.
        public static func decode(
            _ data: Data, maxPixels: Int = maxPixels
        ) throws -> any PixelSource {
            try decode(CGImageSourceCreateWithData(data as CFData, nil), maxPixels)
        }

        /// Decodes an image file, as ``decode(_:maxPixels:)`` does, without reading it as a whole.
        ///
        /// - Throws: ``Failure/badImage(_:)`` if it cannot be read or decoded.
        public static func decode(
            contentsOf url: URL, maxPixels: Int = maxPixels
        ) throws -> any PixelSource {
            try decode(CGImageSourceCreateWithURL(url as CFURL, nil), maxPixels)
        }

        private static func decode(
            _ source: CGImageSource?, _ maxPixels: Int
        ) throws -> any PixelSource {
            guard let source,
                let about = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
            else { throw undecodable }
            func number(_ key: CFString) -> Int { (about[key] as? NSNumber)?.intValue ?? 0 }
            let factor = PackedPixels.sampling(
                width: number(kCGImagePropertyPixelWidth),
                height: number(kCGImagePropertyPixelHeight), maxPixels: maxPixels)
            let options = factor > 1 ? [kCGImageSourceSubsampleFactor: factor] as CFDictionary : nil
            guard let image = CGImageSourceCreateImageAtIndex(source, 0, options) else {
                throw undecodable
            }
            let exif = UInt32(clamping: number(kCGImagePropertyOrientation))
            return try pixels(of: image, orientation: .init(rawValue: exif) ?? .up)
        }

        private static let undecodable = Failure.badImage(
            "image: cannot be read, or is not in a format that the system decodes")

        /// Returns the samples as they are stored; nil if they are not grey or RGB of 8 or 16 bits.
        private static func packed(
            _ image: CGImage?, _ orientation: Orientation
        ) throws -> PackedPixels? {
            guard let image, let space = image.colorSpace,
                space.model == .rgb || space.model == .monochrome,
                !image.bitmapInfo.contains(.floatComponents),
                image.bitsPerComponent > 0, image.bitsPerPixel % image.bitsPerComponent == 0
            else { return nil }
            let samples = image.bitsPerPixel / image.bitsPerComponent
            let colours = space.model == .rgb ? 3 : 1
            // A fourth or second sample is alpha or padding; other numbers are not supported.
            guard samples == colours || samples == colours + 1,
                let littleEndian = isLittleEndian(image),
                let format = PixelFormat(
                    samples: samples, bitsPerSample: image.bitsPerComponent,
                    alphaFirst: [.first, .premultipliedFirst, .noneSkipFirst].contains(
                        image.alphaInfo),
                    premultiplied: [.premultipliedFirst, .premultipliedLast].contains(
                        image.alphaInfo),
                    littleEndian: littleEndian),
                let data = image.dataProvider?.data
            else { return nil }
            return try PackedPixels(
                bytes: data as Data, width: image.width, height: image.height,
                bytesPerRow: image.bytesPerRow, format: format, orientation: orientation)
        }

        /// Returns nil for a byte order that does not fit the samples.
        private static func isLittleEndian(_ image: CGImage) -> Bool? {
            switch image.byteOrderInfo {
            case .orderDefault, .order16Big, .order32Big: return false
            case .order16Little: return image.bitsPerComponent == 16 ? true : nil
            case .order32Little:
                return image.bitsPerComponent == 8 && image.bitsPerPixel == 32 ? true : nil
            default: return nil
            }
        }

        private static func drawn(_ image: CGImage) -> CGImage? {
            guard let space = CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: nil, width: image.width, height: image.height, bitsPerComponent: 8,
                    bytesPerRow: 0, space: space,
                    bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue)
            else { return nil }
            context.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
            return context.makeImage()
        }
    }
}

/// A camera frame, which is locked while it is read. Nothing writes to it, so it is Sendable.
private final class FramePixels: MobileNetV4.PixelSource, @unchecked Sendable {
    private enum Planes {
        case bgra(UnsafeRawPointer, bytesPerRow: Int)
        case yuv(MobileNetV4.YUVFrame)
    }

    let width: Int
    let height: Int
    let orientation: MobileNetV4.Orientation
    private let frame: CVPixelBuffer
    private let planes: Planes

    init(_ frame: CVPixelBuffer, orientation: MobileNetV4.Orientation) throws {
        width = CVPixelBufferGetWidth(frame)
        height = CVPixelBufferGetHeight(frame)
        try MobileNetV4.PackedPixels.check(width: width, height: height)
        guard CVPixelBufferLockBaseAddress(frame, .readOnly) == kCVReturnSuccess else {
            throw MobileNetV4.Failure.badImage("frame: cannot be locked")
        }
        self.frame = frame
        self.orientation = orientation
        do {
            planes = try Self.planes(frame, width, height)
        } catch {
            CVPixelBufferUnlockBaseAddress(frame, .readOnly)
            throw error
        }
    }

    deinit {
        CVPixelBufferUnlockBaseAddress(frame, .readOnly)
    }

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        switch planes {
        case .bgra(let bytes, let bytesPerRow):
            MobileNetV4.PixelFormat.bgra.read(
                bytes, bytesPerRow: bytesPerRow, left: left, top: top, width: width,
                height: height, into: into)
        case .yuv(let yuv):
            yuv.read(left: left, top: top, width: width, height: height, into: into)
        }
    }

    private static func planes(
        _ frame: CVPixelBuffer, _ width: Int, _ height: Int
    ) throws -> Planes {
        let format = CVPixelBufferGetPixelFormatType(frame)
        switch format {
        case kCVPixelFormatType_32BGRA:
            guard let bytes = CVPixelBufferGetBaseAddress(frame) else { throw noMemory }
            return .bgra(bytes, bytesPerRow: CVPixelBufferGetBytesPerRow(frame))
        case kCVPixelFormatType_420YpCbCr8BiPlanarFullRange,
            kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange:
            let luma = try plane(frame, 0, bytesPerValue: 1)
            let chroma = try plane(frame, 1, bytesPerValue: 2)
            let red = MobileNetV4.YUVPlane(
                bytes: UnsafeRawBufferPointer(rebasing: chroma.bytes.dropFirst()),
                bytesPerRow: chroma.bytesPerRow, bytesPerValue: 2)
            let name = CVBufferCopyAttachment(frame, kCVImageBufferYCbCrMatrixKey, nil) as? String
            return .yuv(
                try MobileNetV4.YUVFrame(
                    y: luma, blue: chroma, red: red, width: width, height: height,
                    fullRange: format == kCVPixelFormatType_420YpCbCr8BiPlanarFullRange,
                    matrix: .of(named: name, height: height)))
        default:
            let code = String(format: "%08x", format)
            throw MobileNetV4.Failure.badImage(
                "frame: found format 0x\(code), allowed: BGRA, 420f, 420v")
        }
    }

    private static func plane(
        _ frame: CVPixelBuffer, _ index: Int, bytesPerValue: Int
    ) throws -> MobileNetV4.YUVPlane {
        guard let start = CVPixelBufferGetBaseAddressOfPlane(frame, index) else { throw noMemory }
        let row = CVPixelBufferGetBytesPerRowOfPlane(frame, index)
        let bytes = UnsafeRawBufferPointer(
            start: start, count: row * CVPixelBufferGetHeightOfPlane(frame, index))
        return MobileNetV4.YUVPlane(bytes: bytes, bytesPerRow: row, bytesPerValue: bytesPerValue)
    }

    private static let noMemory = MobileNetV4.Failure.badImage("frame: has no pixels in memory")
}
