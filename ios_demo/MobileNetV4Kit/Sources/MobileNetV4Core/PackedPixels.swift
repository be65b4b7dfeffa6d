import Foundation

/// The layout of the samples of a pixel in memory.
public struct PixelFormat: Sendable, Equatable {
    /// The distance in bytes from one pixel to the next.
    public let bytesPerPixel: Int
    /// The offsets of red, green and blue in a pixel, all the same for grey; for 16-bit samples,
    /// those of the high bytes.
    public let red: Int, green: Int, blue: Int
    /// The offset of alpha if the colours were multiplied by it, else nil.
    public let premultipliedBy: Int?

    /// Makes a format from these offsets.
    public init(
        bytesPerPixel: Int, red: Int, green: Int, blue: Int, premultipliedBy: Int? = nil
    ) {
        self.bytesPerPixel = bytesPerPixel
        self.red = red
        self.green = green
        self.blue = blue
        self.premultipliedBy = premultipliedBy
    }

    /// Three bytes, red first.
    public static let rgb = PixelFormat(bytesPerPixel: 3, red: 0, green: 1, blue: 2)
    /// Four bytes, blue first, as cameras give them.
    public static let bgra = PixelFormat(bytesPerPixel: 4, red: 2, green: 1, blue: 0)
    /// One byte.
    public static let grey = PixelFormat(bytesPerPixel: 1, red: 0, green: 0, blue: 0)

    /// Makes a format from the description that image decoders give.
    ///
    /// - Parameters:
    ///   - samples: The number of samples per pixel, alpha or its padding included: 1 to 4.
    ///   - bitsPerSample: 8 or 16.
    ///   - alphaFirst: Whether alpha, or its padding, comes before the colours.
    ///   - premultiplied: Whether the colours were multiplied by alpha.
    ///   - littleEndian: Whether the bytes of a pixel of 8-bit samples, or of each 16-bit sample,
    ///     are stored in reverse.
    /// - Returns: Nil for any other description.
    public init?(
        samples: Int, bitsPerSample: Int, alphaFirst: Bool, premultiplied: Bool,
        littleEndian: Bool
    ) {
        guard (1...4).contains(samples), bitsPerSample == 8 || bitsPerSample == 16 else {
            return nil
        }
        let wide = bitsPerSample / 8
        let hasAlpha = samples == 2 || samples == 4
        let colours = hasAlpha ? samples - 1 : samples
        func place(_ sample: Int) -> Int {
            if wide == 2 { return 2 * sample + (littleEndian ? 1 : 0) }
            return littleEndian ? samples - 1 - sample : sample
        }
        let first = hasAlpha && alphaFirst ? 1 : 0
        self.init(
            bytesPerPixel: samples * wide,
            red: place(first),
            green: place(first + (colours == 3 ? 1 : 0)),
            blue: place(first + (colours == 3 ? 2 : 0)),
            premultipliedBy: hasAlpha && premultiplied
                ? place(alphaFirst ? 0 : samples - 1) : nil)
    }
}

/// An image in memory, pixel by pixel.
///
/// Alpha is dropped without blending, as in training; colours that were multiplied by it are
/// divided again. Grey is repeated for all three channels, and 16-bit samples keep their high byte.
public struct PackedPixels: PixelSource {
    /// The width in pixels.
    public let width: Int
    /// The height in pixels.
    public let height: Int
    private let bytes: Data
    private let bytesPerRow: Int
    private let format: PixelFormat

    /// Makes an image from bytes.
    ///
    /// - Parameters:
    ///   - bytes: The rows, from top to bottom.
    ///   - width: The width in pixels.
    ///   - height: The height in pixels.
    ///   - bytesPerRow: The distance in bytes from one row to the next.
    ///   - format: The format of a pixel.
    /// - Throws: ``MNV4Error/badPicture(_:)`` if it has no pixels, or fewer bytes than pixels need.
    public init(
        bytes: Data, width: Int, height: Int, bytesPerRow: Int, format: PixelFormat
    ) throws {
        try Self.check(width: width, height: height)
        let needed = bytesPerRow * (height - 1) + width * format.bytesPerPixel
        guard bytesPerRow >= width * format.bytesPerPixel, bytes.count >= needed else {
            throw MNV4Error.badPicture(
                "picture: found \(bytes.count) bytes, \(width) x \(height) pixels are "
                    + "\(needed) or more")
        }
        // The indices of a slice would not begin at 0.
        self.bytes = bytes.startIndex == 0 ? bytes : Data(bytes)
        self.width = width
        self.height = height
        self.bytesPerRow = bytesPerRow
        self.format = format
    }

    static func check(width: Int, height: Int) throws {
        guard width >= 1, height >= 1 else {
            throw MNV4Error.badPicture(
                "picture: found \(width) x \(height) pixels, must be 1 x 1 or more")
        }
    }

    /// See ``PixelSource/readRow(_:into:)``.
    public func readRow(_ y: Int, into line: inout [UInt32]) {
        read(&line, width, from: y * bytesPerRow, step: format.bytesPerPixel)
    }

    /// See ``PixelSource/readColumn(_:into:)``.
    public func readColumn(_ x: Int, into line: inout [UInt32]) {
        read(&line, height, from: x * format.bytesPerPixel, step: bytesPerRow)
    }

    private func read(_ line: inout [UInt32], _ count: Int, from start: Int, step: Int) {
        bytes.withUnsafeBytes { bytes in
            var at = start
            for i in 0..<count {
                line[i] = format.pixel(bytes, at)
                at += step
            }
        }
    }
}

extension PixelFormat {
    /// Returns the pixel whose bytes begin at `start`, as ``PixelSource`` packs it.
    @inline(__always)
    public func pixel(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt32 {
        var r = UInt32(bytes[start + red])
        var g = UInt32(bytes[start + green])
        var b = UInt32(bytes[start + blue])
        if let premultipliedBy {
            // A transparent pixel has no colour left to divide.
            let alpha = UInt32(bytes[start + premultipliedBy])
            if alpha > 0 && alpha < 255 {
                r = min((r * 255 + alpha / 2) / alpha, 255)
                g = min((g * 255 + alpha / 2) / alpha, 255)
                b = min((b * 255 + alpha / 2) / alpha, 255)
            }
        }
        return r << 16 | g << 8 | b
    }
}
