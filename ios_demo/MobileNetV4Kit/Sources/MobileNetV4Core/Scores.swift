import Foundation

/// A class that a picture may show.
public struct Classification: Sendable, Equatable {
    /// The index of the class, from 0.
    public let index: Int
    /// The class's name; its index where the bundle has no labels.
    public let label: String
    /// The probability, from 0 to 1.
    public let probability: Float
}

/// Arithmetic on the scores of classes.
public enum Scores {
    /// Reported for equal tensors, and the most that is reported.
    static let exactDb = 200.0

    /// Probabilities of logits.
    public static func softmax(_ logits: [Float]) -> [Float] {
        let most = logits.max() ?? 0
        let powers = logits.map { exp(Double($0 - most)) }
        let sum = powers.reduce(0, +)
        return powers.map { Float($0 / sum) }
    }

    /// The `count` most probable classes, the most probable first; of equal ones the first.
    public static func top(
        _ probabilities: [Float], count: Int, labels: [String]?
    ) -> [Classification] {
        probabilities.indices
            .sorted { (-probabilities[$0], $0) < (-probabilities[$1], $1) }
            .prefix(max(count, 0))
            .map {
                Classification(
                    index: $0, label: labels?[$0] ?? String($0), probability: probabilities[$0])
            }
    }

    /// Signal to quantization noise ratio in dB of `found` against `expected`; 200 where they are
    /// equal, which is the most that is reported, and -200 where a value is not finite.
    public static func sqnrDb(expected: [Float], found: [Float]) -> Double {
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
