import Foundation

/// The weights with which `from` values of a line become `to` values.
///
/// This is Pillow's antialiased resize in fixed point. The generator's `images.py` specifies it,
/// and its golden cases test it. Value `i` is computed from the values from `starts[i]` on.
struct Resampling {
    static let shift: Int32 = 22
    static let one: Int32 = 1 << shift
    static let half: Int32 = 1 << (shift - 1)

    private(set) var starts: [Int]
    private(set) var counts: [Int]
    /// The weights, `stride` for each value, scaled by 2^22.
    private(set) var weights: [Int32]
    let stride: Int

    init(from: Int, to: Int, interpolation: Interpolation) {
        guard from != to, let (radius, kernel) = Self.kernel(interpolation) else {
            starts = from == to ? Array(0..<to) : Self.nearest(from, to)
            counts = Array(repeating: 1, count: to)
            weights = Array(repeating: Self.one, count: to)
            stride = 1
            return
        }
        let scale = Double(from) / Double(to)
        let spread = max(scale, 1)
        let reach = radius * spread
        stride = Int(reach.rounded(.up)) * 2 + 1
        starts = Array(repeating: 0, count: to)
        counts = starts
        weights = Array(repeating: 0, count: to * stride)
        for i in 0..<to {
            let centre = (Double(i) + 0.5) * scale
            let start = Int(max(centre - reach + 0.5, 0).rounded(.down))
            let end = min(Int((centre + reach + 0.5).rounded(.down)), from)
            let raw = (start..<end).map { kernel((Double($0) - centre + 0.5) * (1 / spread)) }
            let sum = raw.reduce(0, +)
            starts[i] = start
            counts[i] = raw.count
            for (k, weight) in raw.enumerated() {
                weights[i * stride + k] = Self.fixed(sum != 0 ? weight / sum : weight)
            }
        }
    }

    private static func nearest(_ from: Int, _ to: Int) -> [Int] {
        let scale = Double(from) / Double(to)
        var position = scale / 2
        return (0..<to).map { _ in
            defer { position += scale }
            return min(Int(position.rounded(.down)), from - 1)
        }
    }

    /// Rounds to fixed point, halves away from zero.
    private static func fixed(_ weight: Double) -> Int32 {
        Int32(weight * Double(one) + (weight < 0 ? -0.5 : 0.5))
    }

    /// Returns the radius and the function of a filter; nil for nearest, which has none.
    private static func kernel(
        _ interpolation: Interpolation
    ) -> (Double, (Double) -> Double)? {
        switch interpolation {
        case .nearest: return nil
        case .bilinear: return (1, { max(1 - abs($0), 0) })
        case .bicubic: return (2, bicubic)
        case .lanczos: return (3, { abs($0) < 3 ? sinc($0) * sinc($0 / 3) : 0 })
        }
    }

    private static func bicubic(_ at: Double) -> Double {
        let x = abs(at)
        if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
        if x < 2 { return ((-0.5 * x + 2.5) * x - 4) * x + 2 }
        return 0
    }

    private static func sinc(_ x: Double) -> Double {
        x == 0 ? 1 : sin(Double.pi * x) / (Double.pi * x)
    }
}
