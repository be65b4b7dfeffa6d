import MobileNetV4Core

/// How many operators a unit computes.
struct OperatorCount: Equatable, Identifiable {
    /// The unit; nil for operators for which Core ML gives none.
    let unit: MobileNetV4.Plan.Unit?
    /// The number of operators.
    let count: Int

    var id: MobileNetV4.Plan.Unit? { unit }

    /// Counts operators by unit, the unit with the most first.
    static func counts(_ operators: [MobileNetV4.OperatorPlan]) -> [OperatorCount] {
        Dictionary(grouping: operators, by: \.unit)
            .map { OperatorCount(unit: $0.key, count: $0.value.count) }
            .sorted { (-$0.count, $0.unit?.rawValue ?? "") < (-$1.count, $1.unit?.rawValue ?? "") }
    }
}
