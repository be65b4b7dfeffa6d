import Foundation

extension MobileNetV4 {
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
        /// How the image must be turned to be upright.
        public let orientation: Orientation
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
        ///   - orientation: How the image must be turned to be upright.
        /// - Throws: ``Failure/badImage(_:)`` if it has no pixels, too many, or fewer bytes than pixels need,
        ///   or if the format's samples lie outside a pixel.
        public init(
            bytes: Data, width: Int, height: Int, bytesPerRow: Int, format: PixelFormat,
            orientation: Orientation = .upright
        ) throws {
            try Self.check(width: width, height: height)
            let offsets = [format.red, format.green, format.blue, format.premultipliedBy ?? 0]
            guard offsets.allSatisfy((0..<max(format.bytesPerPixel, 0)).contains) else {
                throw Failure.badImage(
                    "image: found samples at \(offsets), must lie in the "
                        + "\(format.bytesPerPixel) bytes of a pixel")
            }
            let row = width.multipliedReportingOverflow(by: format.bytesPerPixel)
            let above = bytesPerRow.multipliedReportingOverflow(by: height - 1)
            let needed = above.partialValue.addingReportingOverflow(row.partialValue)
            guard !row.overflow, bytesPerRow >= row.partialValue else {
                throw Failure.badImage(
                    "image: found rows of \(bytesPerRow) bytes, must hold \(width) pixels of "
                        + "\(format.bytesPerPixel)")
            }
            guard !above.overflow, !needed.overflow, bytes.count >= needed.partialValue else {
                throw Failure.badImage(
                    "image: found \(bytes.count) bytes, too few for \(width) x \(height) pixels in "
                        + "rows of \(bytesPerRow)")
            }
            self.bytes = bytes
            self.width = width
            self.height = height
            self.bytesPerRow = bytesPerRow
            self.format = format
            self.orientation = orientation
        }

        /// Pillow's limit against decompression bombs.
        static let maxPixels = 178_956_970

        /// Returns the step, 1, 2, 4 or 8, at which an image is decoded to have at most so many pixels.
        package static func sampling(width: Int, height: Int, maxPixels: Int) -> Int {
            [1, 2, 4].first { step in
                let (count, overflow) = ((width + step - 1) / step).multipliedReportingOverflow(
                    by: (height + step - 1) / step)
                return !overflow && count <= maxPixels
            } ?? 8
        }

        package static func check(width: Int, height: Int) throws {
            guard width >= 1, height >= 1 else {
                throw Failure.badImage(
                    "image: found \(width) x \(height) pixels, must be 1 x 1 or more")
            }
            let (area, overflow) = width.multipliedReportingOverflow(by: height)
            guard !overflow, area <= maxPixels else {
                throw Failure.badImage(
                    "image: found \(width) x \(height), at most \(maxPixels) pixels are allowed")
            }
        }

        /// See ``PixelSource/read(left:top:width:height:into:)``.
        public func read(
            left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
        ) {
            bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                format.read(
                    start, bytesPerRow: bytesPerRow, left: left, top: top, width: width,
                    height: height, into: into)
            }
        }
    }
}

extension MobileNetV4.PixelFormat {
    /// Reads a part of an image as ``PixelSource/read(left:top:width:height:into:)`` does.
    ///
    /// - Parameters:
    ///   - bytes: The first pixel of the image; all rows of the part lie in memory.
    ///   - bytesPerRow: The distance in bytes from one row to the next.
    public func read(
        _ bytes: UnsafeRawPointer, bytesPerRow: Int, left: Int, top: Int, width: Int,
        height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        let bytes = bytes.assumingMemoryBound(to: UInt8.self)
        // An optional is slow in the inner loop, also in a Release build.
        let (step, red, green, blue) = (bytesPerPixel, red, green, blue)
        let (isMultiplied, alpha) = (premultipliedBy != nil, premultipliedBy ?? 0)
        var out = into
        for y in top..<top + height {
            var pixel = bytes + (y * bytesPerRow + left * step)
            let end = out + width
            while out < end {
                var r = Int32(byte: pixel[red])
                var g = Int32(byte: pixel[green])
                var b = Int32(byte: pixel[blue])
                if isMultiplied {
                    let alpha = Int32(byte: pixel[alpha])
                    r = Self.divided(r, by: alpha)
                    g = Self.divided(g, by: alpha)
                    b = Self.divided(b, by: alpha)
                }
                out[0] = UInt32(bitPattern: r &<< 16 | g &<< 8 | b)
                pixel += step
                out += 1
            }
        }
    }

    /// Undoes the multiplication by alpha. A transparent pixel has no colour left to divide.
    @inline(__always)
    private static func divided(_ colour: Int32, by alpha: Int32) -> Int32 {
        if alpha == 0 || alpha == 255 { return colour }
        let value = (colour &* 255 &+ alpha / 2) / alpha
        return value < 255 ? value : 255
    }
}
