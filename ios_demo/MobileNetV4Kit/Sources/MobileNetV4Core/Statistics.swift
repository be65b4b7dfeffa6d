extension MobileNetV4 {
    /// The statistics of a session's samples, as the generator's `statistics.py` specifies.
    public struct Statistics: Sendable, Equatable {
        private let sorted: [Double]
        /// The mean of the samples.
        public let mean: Double

        /// Makes the statistics of samples in any order; nil if there are none.
        public init?(_ samples: [Double]) {
            if samples.isEmpty { return nil }
            sorted = samples.sorted()
            mean = samples.reduce(0, +) / Double(samples.count)
        }

        /// The number of samples.
        public var count: Int { sorted.count }
        /// The smallest sample.
        public var min: Double { sorted[0] }
        /// The largest sample.
        public var max: Double { sorted[count - 1] }

        /// The sample standard deviation over the mean; nil for a single sample, or if the mean is 0.
        public var variation: Double? {
            if count < 2 || mean == 0 { return nil }
            let squares = sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            return (squares / Double(count - 1)).squareRoot() / mean
        }

        /// Returns a percentile, interpolated linearly between the two nearest samples.
        public func percentile(_ percent: Double) -> Double {
            let rank = percent / 100 * Double(count - 1)
            let below = Int(rank)
            let above = Swift.min(below + 1, count - 1)
            return sorted[below] + (rank - Double(below)) * (sorted[above] - sorted[below])
        }
    }
}
