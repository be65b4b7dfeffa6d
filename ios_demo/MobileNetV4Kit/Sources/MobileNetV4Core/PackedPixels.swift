import Foundation

/// How the samples of a pixel lie in memory.
public struct PixelFormat: Sendable, Equatable {
    /// The distance from one pixel to the next.
    public let bytesPerPixel: Int
    /// Where in a pixel red, green and blue are; all the same for grey. Of 16-bit samples, the
    /// high byte.
    public let red: Int, green: Int, blue: Int
    /// Where alpha is, if the colours were multiplied with it.
    public let premultipliedBy: Int?

    /// A format of these places.
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
    /// Four bytes, blue first: what cameras give.
    public static let bgra = PixelFormat(bytesPerPixel: 4, red: 2, green: 1, blue: 0)
    /// One byte.
    public static let grey = PixelFormat(bytesPerPixel: 1, red: 0, green: 0, blue: 0)

    /// A format as picture decoders describe it.
    ///
    /// - Parameters:
    ///   - samples: In a pixel, alpha or what fills its place included: 1 to 4.
    ///   - bitsPerSample: 8 or 16.
    ///   - alphaFirst: Whether alpha, or what fills its place, comes before the colours.
    ///   - premultiplied: Whether the colours were multiplied with alpha.
    ///   - littleEndian: Whether a pixel of 8-bit samples, or each 16-bit sample, is stored from
    ///     its end.
    /// - Returns: Nil for what is not one of these.
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

/// A picture in memory, pixel by pixel.
///
/// Alpha is dropped without blending, as the networks were trained; colours that were multiplied
/// with it are divided again. Grey is repeated, and of 16-bit samples the high byte is kept.
public struct PackedPixels: PixelSource {
    /// Pixels across.
    public let width: Int
    /// Pixels down.
    public let height: Int
    private let bytes: Data
    private let bytesPerRow: Int
    private let format: PixelFormat

    /// A picture of these bytes.
    ///
    /// - Parameters:
    ///   - bytes: Rows from the top.
    ///   - width: Pixels across.
    ///   - height: Pixels down.
    ///   - bytesPerRow: From one row to the next.
    ///   - format: Of a pixel.
    /// - Throws: ``MNV4Error/badPicture(_:)``: it has no pixels, or fewer bytes than pixels.
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
        // A slice would begin at another index.
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
    /// The pixel whose bytes begin at `start`, as ``PixelSource`` packs it.
    @inline(__always)
    public func pixel(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt32 {
        var r = UInt32(bytes[start + red])
        var g = UInt32(bytes[start + green])
        var b = UInt32(bytes[start + blue])
        if let premultipliedBy {
            // Under a transparent pixel nothing is left to divide.
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
