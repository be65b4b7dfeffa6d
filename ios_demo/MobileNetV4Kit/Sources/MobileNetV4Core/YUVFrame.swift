extension MobileNetV4 {
    /// One plane of a YUV frame.
    public struct YUVPlane {
        /// The bytes of the plane from its first value on.
        public let bytes: UnsafeRawBufferPointer
        /// The distance in bytes from one row to the next.
        public let bytesPerRow: Int
        /// The distance in bytes from one value to the next.
        public let bytesPerValue: Int

        /// Makes a plane from memory that begins with its first value.
        public init(bytes: UnsafeRawBufferPointer, bytesPerRow: Int, bytesPerValue: Int) {
            self.bytes = bytes
            self.bytesPerRow = bytesPerRow
            self.bytesPerValue = bytesPerValue
        }

        /// Returns the address of the first value, if the plane has this many columns and rows.
        fileprivate func start(_ columns: Int, _ rows: Int) throws -> UnsafePointer<UInt8> {
            // Distances longer than the plane are refused as well, and the product cannot overflow.
            let row = min(max(bytesPerRow, 0), bytes.count)
            let value = min(max(bytesPerValue, 0), bytes.count)
            let needed = (rows - 1) * row + (columns - 1) * value + 1
            guard let start = bytes.baseAddress, bytesPerRow > 0, bytesPerValue > 0,
                bytes.count >= needed
            else {
                throw Failure.badImage(
                    "frame: found a plane of \(bytes.count) bytes, \(columns) x \(rows) values are "
                        + "\(needed) or more")
            }
            return start.assumingMemoryBound(to: UInt8.self)
        }
    }

    /// The colours of a camera frame of 8 bits with chroma at half the resolution.
    ///
    /// They are converted in 16-bit fixed point, over the full range (`420f`, as in JPEG) or the video
    /// range (`420v`). Each chroma value applies to four pixels.
    public struct YUVFrame {
        private let y: YUVPlane
        private let blue: YUVPlane
        private let red: YUVPlane
        private let scale: Scale

        /// The factors of luma and chroma, times 2^16.
        struct Scale {
            let black: Int32, luma: Int32, vr: Int32, ug: Int32, vg: Int32, ub: Int32

            init(_ matrix: Matrix, fullRange: Bool) {
                // The video range has luma from 16 to 235 and chroma from 16 to 240.
                (black, luma) = fullRange ? (0, 65536) : (16, 76309)
                switch (matrix, fullRange) {
                case (.bt601, true): (vr, ug, vg, ub) = (91881, 22554, 46802, 116_130)
                case (.bt601, false): (vr, ug, vg, ub) = (104_597, 25675, 53279, 132_201)
                case (.bt709, true): (vr, ug, vg, ub) = (103_206, 12276, 30679, 121_609)
                case (.bt709, false): (vr, ug, vg, ub) = (117_489, 13975, 34925, 138_438)
                case (.bt2020, true): (vr, ug, vg, ub) = (96639, 10784, 37444, 123_299)
                case (.bt2020, false): (vr, ug, vg, ub) = (110_014, 12277, 42626, 140_363)
                }
            }
        }

        /// How luma and chroma were made of red, green and blue, with Core Video's names.
        public enum Matrix: String, Sendable, CaseIterable {
            /// Standard definition, and JPEG.
            case bt601 = "ITU_R_601_4"
            /// High definition.
            case bt709 = "ITU_R_709_2"
            /// Ultra-high definition.
            case bt2020 = "ITU_R_2020"

            /// Returns the matrix of a frame: the one that it names, or else, as Core Video assumes,
            /// the one for its height.
            public static func of(named name: String?, height: Int) -> Matrix {
                name.flatMap(Matrix.init(rawValue:)) ?? (height < 720 ? .bt601 : .bt709)
            }
        }

        /// The first value of each plane.
        private let luma: UnsafePointer<UInt8>
        private let cb: UnsafePointer<UInt8>
        private let cr: UnsafePointer<UInt8>

        /// Makes a frame from its planes, whose memory must outlive it.
        ///
        /// - Parameters:
        ///   - y: The luma.
        ///   - blue: The chroma Cb.
        ///   - red: The chroma Cr.
        ///   - width: The width in pixels.
        ///   - height: The height in pixels.
        ///   - fullRange: Whether black is 0 and white 255, not 16 and 235.
        ///   - matrix: How luma and chroma were made.
        /// - Throws: ``Failure/badImage(_:)`` if it has no pixels, or fewer bytes than pixels need.
        public init(
            y: YUVPlane, blue: YUVPlane, red: YUVPlane, width: Int, height: Int, fullRange: Bool,
            matrix: Matrix = .bt601
        ) throws {
            try PackedPixels.check(width: width, height: height)
            let (columns, rows) = ((width + 1) / 2, (height + 1) / 2)
            luma = try y.start(width, height)
            cb = try blue.start(columns, rows)
            cr = try red.start(columns, rows)
            self.y = y
            self.blue = blue
            self.red = red
            scale = Scale(matrix, fullRange: fullRange)
        }

        /// Reads a part of the frame as ``PixelSource/read(left:top:width:height:into:)`` does.
        ///
        /// Chroma is read once for two rows, and converted to what it adds to red, green and blue.
        public func read(
            left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
        ) {
            let first = left / 2
            let count = (left + width + 1) / 2 - first
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: 3 * count) { chroma in
                guard let chroma = chroma.baseAddress else { return }
                for row in top..<top + height {
                    if row == top || row % 2 == 0 { readChroma(row / 2, first, count, chroma) }
                    convert(row, left, width, chroma, into + (row - top) * width)
                }
            }
        }

        private func readChroma(
            _ row: Int, _ column: Int, _ count: Int, _ into: UnsafeMutablePointer<Int32>
        ) {
            var u = cb + (row * blue.bytesPerRow + column * blue.bytesPerValue)
            var v = cr + (row * red.bytesPerRow + column * red.bytesPerValue)
            var out = into
            let end = into + 3 * count
            while out < end {
                let b = Int32(byte: u[0]) &- 128
                let r = Int32(byte: v[0]) &- 128
                out[0] = (1 &<< 15) &+ scale.vr &* r
                out[1] = (1 &<< 15) &- scale.ug &* b &- scale.vg &* r
                out[2] = (1 &<< 15) &+ scale.ub &* b
                u += blue.bytesPerValue
                v += red.bytesPerValue
                out += 3
            }
        }

        private func convert(
            _ row: Int, _ left: Int, _ width: Int, _ chroma: UnsafePointer<Int32>,
            _ into: UnsafeMutablePointer<UInt32>
        ) {
            let values = luma + (row * y.bytesPerRow + left * y.bytesPerValue)
            let (step, black, factor, odd) = (y.bytesPerValue, scale.black, scale.luma, left & 1)
            var x = 0
            while x < width {
                let luma = (Int32(byte: values[x &* step]) &- black) &* factor
                let colour = chroma + 3 &* ((x &+ odd) &>> 1)
                let r = Int32(clipped: (luma &+ colour[0]) &>> 16)
                let g = Int32(clipped: (luma &+ colour[1]) &>> 16)
                let b = Int32(clipped: (luma &+ colour[2]) &>> 16)
                into[x] = UInt32(bitPattern: r &<< 16 | g &<< 8 | b)
                x &+= 1
            }
        }
    }
}
