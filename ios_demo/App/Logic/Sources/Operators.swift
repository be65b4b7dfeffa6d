import MobileNetV4Core

/// How many operators a part of the chip computes.
struct OperatorCount: Equatable, Identifiable {
    /// The part's name; nil for operators for which Core ML gives none.
    let device: String?
    /// The number of operators.
    let count: Int

    var id: String? { device }

    /// Counts operators by part, the part with the most first.
    static func counts(_ operators: [MobileNetV4.OperatorPlan]) -> [OperatorCount] {
        Dictionary(grouping: operators, by: \.device)
            .map { OperatorCount(device: $0.key, count: $0.value.count) }
            .sorted { (-$0.count, $0.device ?? "") < (-$1.count, $1.device ?? "") }
    }
}
