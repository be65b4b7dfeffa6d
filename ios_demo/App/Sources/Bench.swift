import MobileNetV4Kit
import SwiftUI
import UIKit

/// Measures one model: as it was built, and on every unit.
@MainActor
final class Bench: ObservableObject {
    /// What was measured so far; nil before anything was.
    @Published private(set) var report: Report?
    /// The report, to share; nil until all is measured.
    @Published private(set) var file: URL?
    /// Why there is no report.
    @Published private(set) var failure: String?
    /// Whether it measures now.
    @Published private(set) var isRunning = false

    /// Measures a model until all is measured or the task is cancelled.
    func measure(_ model: MobileNetV4.Model) async {
        isRunning = true
        UIApplication.shared.isIdleTimerDisabled = true
        defer {
            isRunning = false
            UIApplication.shared.isIdleTimerDisabled = false
        }
        (report, file, failure) = (nil, nil, nil)
        do {
            try await sessions(model)
        } catch is CancellationError {
            return
        } catch {
            failure = error.localizedDescription
        }
    }

    private func sessions(_ model: MobileNetV4.Model) async throws {
        var plan = MobileNetV4.Plan()
        // A user who waits for a cool device is worse off than one who sees a warm figure.
        plan.maxThermal = .critical
        var report = try Report(model, plan: plan)
        self.report = report
        for unit in [nil] + MobileNetV4.Plan.Unit.available {
            plan.unit = unit
            let job = MobileNetV4.Job(
                id: UUID().uuidString.lowercased(), bundle: model.folder, plan: plan)
            let result = await MobileNetV4.Benchmark.onThisDevice.run(job)
            try Task.checkCancellation()
            report.sessions.append(Report.Session(unit: unit, result: result))
            self.report = report
        }
        if #available(iOS 17.4, *) {
            report.operators = (try? await MobileNetV4.operators(folder: model.folder)) ?? []
            self.report = report
        }
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(model.id).json")
        try report.json().write(to: file, options: .atomic)
        self.file = file
    }
}
