import Foundation

extension MobileNetV4 {
    /// A class, with its probability for an image.
    public struct Classification: Sendable, Equatable {
        /// The index of the class, from 0.
        public let index: Int
        /// The class's name; its index if the bundle has no labels.
        public let label: String
        /// The probability, from 0 to 1.
        public let probability: Float

        /// Makes a class, for example for the preview of a view.
        public init(index: Int, label: String, probability: Float) {
            self.index = index
            self.label = label
            self.probability = probability
        }
    }
}

/// Arithmetic on the scores of classes.
enum Scores {
    /// The SQNR in dB that is reported for equal tensors, and the most that is reported.
    static let exactDb = 200.0

    /// Returns the probabilities for logits.
    static func softmax(_ logits: [Float]) -> [Float] {
        let most = logits.max() ?? 0
        let powers = logits.map { exp(Double($0 - most)) }
        let sum = powers.reduce(0, +)
        return powers.map { Float($0 / sum) }
    }

    /// Returns the `count` most probable classes, the most probable first, equal ones by index.
    ///
    /// - Parameters:
    ///   - labels: The name of each class.
    ///   - threshold: The lowest probability that is returned.
    ///   - allow: The labels that are returned; nil for all.
    static func top(
        _ probabilities: [Float], count: Int, labels: [String], threshold: Float = 0,
        allow: Set<String>? = nil
    ) -> [MobileNetV4.Classification] {
        probabilities.indices
            .filter { probabilities[$0] >= threshold && allow?.contains(labels[$0]) != false }
            .sorted { (-probabilities[$0], $0) < (-probabilities[$1], $1) }
            .prefix(max(count, 0))
            .map {
                MobileNetV4.Classification(
                    index: $0, label: labels[$0], probability: probabilities[$0])
            }
    }

    /// Returns the signal to quantization noise ratio in dB of `found` against `expected`: 200, the
    /// most that is reported, if they are equal, and -200 if a value is not finite.
    static func sqnrDb(expected: [Float], found: [Float]) -> Double {
        var signal = 0.0
        var noise = 0.0
        for (a, b) in zip(expected, found) {
            let difference = Double(a) - Double(b)
            signal += Double(a) * Double(a)
            noise += difference * difference
        }
        if noise == 0 { return exactDb }
        if !noise.isFinite { return -exactDb }
        return min(max(10 * log10(signal / noise), -exactDb), exactDb)
    }
}
