import MobileNetV4Kit
import SwiftUI
import UIKit

/// Sessions of one model, one on each unit.
@MainActor
final class Bench: ObservableObject {
    /// One session.
    struct Run: Encodable {
        let unit: MobileNetV4.Plan.Unit?
        let result: MobileNetV4.JobResult
    }

    /// What was measured so far.
    @Published private(set) var runs: [Run] = []
    /// What Core ML says of the operators; empty before iOS 17.4.
    @Published private(set) var operators: [MobileNetV4.OperatorPlan] = []
    /// All of it as JSON, to share.
    @Published private(set) var file: URL?
    /// Whether it measures now.
    @Published private(set) var isRunning = false

    /// Measures a model as it was built, and on every unit.
    func measure(_ model: MobileNetV4.Model) async {
        isRunning = true
        UIApplication.shared.isIdleTimerDisabled = true
        defer {
            isRunning = false
            UIApplication.shared.isIdleTimerDisabled = false
        }
        (runs, operators, file) = ([], [], nil)
        for unit in [nil] + MobileNetV4.Plan.Unit.allCases {
            var plan = MobileNetV4.Plan()
            plan.unit = unit
            // A user who waits for a cool device is worse off than one who sees a warm figure.
            plan.maxThermal = .critical
            let job = MobileNetV4.Job(
                id: UUID().uuidString.lowercased(), bundle: model.folder, plan: plan)
            let result = await MobileNetV4.Benchmark.coreML.run(job)
            if Task.isCancelled { return }
            runs.append(Run(unit: unit, result: result))
        }
        if #available(iOS 17.4, *) {
            operators = (try? await MobileNetV4.operators(folder: model.folder)) ?? []
        }
        file = try? write(model)
    }

    private func write(_ model: MobileNetV4.Model) throws -> URL {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(model.id).json")
        try encoder.encode(runs).write(to: file, options: .atomic)
        return file
    }
}
