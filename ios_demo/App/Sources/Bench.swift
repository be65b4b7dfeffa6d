import MobileNetV4Kit
import SwiftUI

/// Sessions of one model, one a compute unit.
@MainActor
final class Bench: ObservableObject {
    /// One session.
    struct Run: Identifiable, Encodable {
        let unit: ComputeUnit
        let result: JobResult
        var id: ComputeUnit { unit }
        var statistics: Statistics? { result.samples.flatMap { Statistics($0.latenciesMs) } }

        enum CodingKeys: String, CodingKey {
            case unit = "compute_unit"
            case result
        }
    }

    /// What was measured so far.
    @Published private(set) var runs: [Run] = []
    /// What Core ML says of the operators; empty before iOS 17.4.
    @Published private(set) var operators: [OperatorPlan] = []
    /// All of it as JSON, to share.
    @Published private(set) var file: URL?
    /// Whether it measures now.
    @Published private(set) var isRunning = false

    /// Measures a model on every compute unit.
    func measure(_ model: MNV4Model) async {
        isRunning = true
        defer { isRunning = false }
        (runs, operators, file) = ([], [], nil)
        for unit in ComputeUnit.allCases {
            var plan = Plan()
            plan.computeUnit = unit
            // A user who waits for a cool device is worse off than one who sees a warm figure.
            plan.maxThermal = .critical
            let job = Job(id: UUID().uuidString, bundle: model.folder, plan: plan)
            runs.append(Run(unit: unit, result: await Benchmark.coreML.run(job)))
        }
        if #available(iOS 17.4, *) {
            operators = (try? await MobileNetV4.operators(folder: model.folder)) ?? []
        }
        file = try? write(model)
    }

    private func write(_ model: MNV4Model) throws -> URL {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(model.id).json")
        try encoder.encode(runs).write(to: file, options: .atomic)
        return file
    }

    /// A figure with one digit behind the point.
    static func ms(_ value: Double) -> String {
        value.formatted(.number.precision(.fractionLength(1)))
    }
}
