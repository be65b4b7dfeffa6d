/// A float of 16 bits, stored as its bits, because Intel Macs lack Swift's own `Float16`.
struct Half: Sendable, Equatable {
    /// The bits: sign, five of exponent, ten of fraction.
    let bits: UInt16

    /// Makes a number from its bits.
    init(bits: UInt16) {
        self.bits = bits
    }

    /// Rounds a float to the nearest half; ties go to the even one.
    init(_ value: Float) {
        let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
        let magnitude = value.bitPattern & 0x7fff_ffff
        if magnitude > 0x7f80_0000 {
            bits = sign | 0x7e00
        } else if magnitude >= 0x4780_0000 {  // 65536 and more
            bits = sign | 0x7c00
        } else if magnitude < 0x3880_0000 {  // below 2^-14: steps of 2^-24
            let steps = (value.magnitude * 16_777_216).rounded(.toNearestOrEven)
            bits = sign | UInt16(steps)
        } else {
            // The bias falls from 127 to 15. A carry into the exponent is correct.
            let rebased = magnitude - (112 << 23)
            let even = rebased >> 13 & 1
            bits = sign | UInt16(truncatingIfNeeded: (rebased + 0xfff + even) >> 13)
        }
    }

    /// The same number as a float of 32 bits.
    var float: Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = UInt32(bits >> 10 & 0x1f)
        let fraction = UInt32(bits & 0x3ff)
        switch exponent {
        case 0: return sign * Float(fraction) / 16_777_216
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * Float(bitPattern: (exponent + 112) << 23 | fraction << 13)
        }
    }
}
