// The standard library's conversions between integers are generic: in a Debug build, which is what
// Xcode's Run makes, one takes 10 to 40 ns. These take as long as an addition.
// They need little-endian integers of 64 bits, which all systems in Package.swift have.

extension Int32 {
    /// Converts a byte.
    @inline(__always)
    init(byte: UInt8) {
        let zero: UInt8 = 0
        self = unsafeBitCast((byte, zero, zero, zero), to: Int32.self)
    }

    /// Limits a value to 0...255, without a branch, so that loops become vector instructions.
    @inline(__always)
    init(clipped value: Int32) {
        self = (value & ~(value &>> 31) | (255 &- value) &>> 31) & 255
    }
}

extension Int {
    /// Converts a byte.
    @inline(__always)
    init(byte: UInt8) {
        let zero: UInt8 = 0
        let bytes = (byte, zero, zero, zero, zero, zero, zero, zero)
        self = unsafeBitCast(bytes, to: Int.self)
    }
}

extension UInt8 {
    /// Keeps the lowest byte.
    @inline(__always)
    init(lowest value: Int32) {
        self = unsafeBitCast(value, to: (UInt8, UInt8, UInt8, UInt8).self).0
    }
}
