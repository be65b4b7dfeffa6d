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

    @inline(__always)
    func at(_ column: Int, _ row: Int) -> Int32 {
        Int32(bytes[row * bytesPerRow + column * bytesPerValue])
    }
}

/// The colours of a camera frame of 8 bits with chroma at half the resolution.
///
/// They are converted by BT.601 in 16-bit fixed point, over the full range (`420f`, as in JPEG) or
/// the video range (`420v`). Each chroma value applies to four pixels.
public struct YUVFrame {
    private let y: YUVPlane
    private let blue: YUVPlane
    private let red: YUVPlane
    private let scale: Scale

    /// The factors of luma and chroma, times 2^16.
    struct Scale {
        let black: Int32, luma: Int32, vr: Int32, ug: Int32, vg: Int32, ub: Int32

        static let full = Scale(
            black: 0, luma: 65536, vr: 91881, ug: 22554, vg: 46802, ub: 116_130)
        /// The factors for luma from 16 to 235 and chroma from 16 to 240.
        static let video = Scale(
            black: 16, luma: 76309, vr: 104_597, ug: 25675, vg: 53279, ub: 132_201)
    }

    /// Makes a frame from its planes.
    ///
    /// - Parameters:
    ///   - y: The luma.
    ///   - blue: The chroma Cb.
    ///   - red: The chroma Cr.
    ///   - fullRange: Whether black is 0 and white 255, not 16 and 235.
    public init(y: YUVPlane, blue: YUVPlane, red: YUVPlane, fullRange: Bool) {
        self.y = y
        self.blue = blue
        self.red = red
        self.scale = fullRange ? .full : .video
    }

    /// Returns the pixel at a place, as ``PixelSource`` packs it.
    @inline(__always)
    public func pixel(_ column: Int, _ row: Int) -> UInt32 {
        let luma = (y.at(column, row) - scale.black) * scale.luma + (1 << 15)
        let u = blue.at(column >> 1, row >> 1) - 128
        let v = red.at(column >> 1, row >> 1) - 128
        let r = clip(luma + scale.vr * v)
        let g = clip(luma - scale.ug * u - scale.vg * v)
        let b = clip(luma + scale.ub * u)
        return r << 16 | g << 8 | b
    }

    @inline(__always)
    private func clip(_ value: Int32) -> UInt32 { UInt32(max(0, min(value >> 16, 255))) }
}
