import Foundation

/// Filters one side of an image: `from` values become `to`, and `count` of these are kept.
///
/// This is Pillow's antialiased resize in fixed point. The generator's `images.py` specifies it,
/// and its golden cases test it. A reversed side is stored from its end to its start: its windows
/// and weights are mirrored, so that the result is the same, also in its last bit.
struct Resampling {
    private static let shift: Int32 = 22
    private static let one: Int32 = 1 << shift
    static let half: Int32 = 1 << (shift - 1)

    /// The number of results.
    let count: Int
    /// The first of the `length` stored values that are needed.
    let first: Int
    let length: Int
    /// Result `i` is computed from the needed values from `starts[i]` to before `ends[i]`.
    let starts: [Int]
    let ends: [Int]
    /// How many results need the same value, at most.
    let overlap: Int
    /// The weights of each result, scaled by 2^22.
    private let windows: [[Int32]]

    /// Computes the weights of the results from `left` on.
    init(
        from: Int, to: Int, interpolation: MobileNetV4.Interpolation, left: Int, count: Int,
        reversed: Bool
    ) {
        var (starts, windows) = Self.windows(from, to, interpolation, left..<left + count)
        if reversed {
            starts = zip(starts, windows).map { from - $0 - $1.count }.reversed()
            windows = windows.reversed().map { $0.reversed() }
        }
        let first = starts[0]
        starts = starts.map { $0 - first }
        let ends = zip(starts, windows).map { $0 + $1.count }
        var (overlap, complete) = (0, 0)
        for i in 0..<count {
            while ends[complete] <= starts[i] { complete += 1 }
            overlap = max(overlap, i + 1 - complete)
        }
        self.count = count
        self.first = first
        self.length = ends[count - 1]
        self.starts = starts
        self.ends = ends
        self.overlap = overlap
        self.windows = windows
    }

    /// Returns the weight of a needed value for a result that it belongs to.
    func weight(of value: Int, for result: Int) -> Int32 {
        windows[result][value - starts[result]]
    }

    /// Returns the byte for a sum of weighted bytes that began with ``half``.
    @inline(__always)
    static func rounded(_ sum: Int32) -> Int32 { Int32(clipped: sum &>> shift) }

    /// Returns where the window of each result starts, and its weights.
    private static func windows(
        _ from: Int, _ to: Int, _ interpolation: MobileNetV4.Interpolation, _ results: Range<Int>
    ) -> ([Int], [[Int32]]) {
        let scale = Double(from) / Double(to)
        guard from != to, let (radius, kernel) = kernel(interpolation) else {
            var position = scale / 2
            let starts = (0..<results.upperBound).map { _ in
                defer { position += scale }
                return min(Int(position.rounded(.down)), from - 1)
            }
            return (Array(starts[results]), results.map { _ in [one] })
        }
        let spread = max(scale, 1)
        let reach = radius * spread
        var (starts, windows) = ([Int](), [[Int32]]())
        for i in results {
            let centre = (Double(i) + 0.5) * scale
            let start = Int(max(centre - reach + 0.5, 0).rounded(.down))
            let end = min(Int((centre + reach + 0.5).rounded(.down)), from)
            let raw = (start..<end).map { kernel((Double($0) - centre + 0.5) * (1 / spread)) }
            let sum = raw.reduce(0, +)
            starts.append(start)
            windows.append(raw.map { fixed(sum != 0 ? $0 / sum : $0) })
        }
        return (starts, windows)
    }

    /// Rounds to fixed point, halves away from zero.
    private static func fixed(_ weight: Double) -> Int32 {
        Int32(weight * Double(one) + (weight < 0 ? -0.5 : 0.5))
    }

    /// Returns the radius and the function of a filter; nil for nearest, which has none.
    private static func kernel(
        _ interpolation: MobileNetV4.Interpolation
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
