import Foundation
import MobileNetV4Core

/// The mean of the probabilities of one network's last frames, in which newer frames count more, so
/// that labels do not flicker.
struct Smoothing: Equatable {
    /// The time in seconds after which a frame counts for a third (1 / e).
    static let time = 0.3

    private let labels: [String]?
    private var probabilities: [Float] = []
    private var last = 0.0

    /// Makes the mean for a network, before its first frame.
    ///
    /// - Parameter labels: The names of the classes; nil if they have none.
    init(labels: [String]?) {
        self.labels = labels
    }

    /// Adds the probabilities of a frame.
    ///
    /// - Parameters:
    ///   - frame: One probability per class.
    ///   - seconds: When it was classified. The more time has passed, the more a frame counts.
    mutating func add(_ frame: [Float], at seconds: Double) {
        let share = Float(1 - exp(-max(seconds - last, 0) / Self.time))
        last = seconds
        guard frame.count == probabilities.count else {
            probabilities = frame
            return
        }
        for i in frame.indices { probabilities[i] += share * (frame[i] - probabilities[i]) }
    }

    /// Returns the most probable classes, the most probable first, equal ones by index.
    func top(_ count: Int) -> [MobileNetV4.Classification] {
        probabilities.indices
            .sorted { (-probabilities[$0], $0) < (-probabilities[$1], $1) }
            .prefix(count)
            .map {
                MobileNetV4.Classification(
                    index: $0, label: labels?[$0] ?? String($0), probability: probabilities[$0])
            }
    }
}
