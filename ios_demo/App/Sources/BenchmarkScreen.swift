import Charts
import MobileNetV4Kit
import SwiftUI

/// Measures the chosen model on every unit.
struct BenchmarkScreen: View {
    let thermal: MobileNetV4.ThermalStatus?
    @EnvironmentObject private var classifier: Classifier
    @StateObject private var bench = Bench()
    @State private var measuring: Task<Void, Never>?

    var body: some View {
        NavigationStack {
            BenchmarkView(
                subject: bench.report?.subject,
                rows: bench.report?.sessions.map(SessionRow.init) ?? [],
                operators: bench.report?.operators ?? [], failure: bench.failure,
                isRunning: bench.isRunning, thermal: thermal
            )
            .navigationTitle("Benchmark")
            .toolbar { tools }
        }
    }

    @ToolbarContentBuilder
    private var tools: some ToolbarContent {
        ToolbarItem {
            if bench.isRunning {
                Button("Cancel", systemImage: "stop") { measuring?.cancel() }
            } else {
                Button("Measure", systemImage: "play") {
                    guard let model = classifier.choice.model else { return }
                    measuring = Task { await bench.measure(model) }
                }
                .disabled(classifier.choice.model == nil)
            }
        }
        ToolbarItem {
            if let file = bench.file {
                ShareLink(item: file).accessibilityLabel("Share the results as JSON")
            }
        }
    }
}

/// One session, as the screen shows it.
struct SessionRow: Identifiable {
    /// What a session measured.
    struct Figures {
        let median: Double
        let slow: Double
        let count: Int
        let goldenSqnrDb: Double
        let ranOn: [MobileNetV4.Plan.Unit]
        let isFallback: Bool
        let before: MobileNetV4.ThermalStatus?
        let after: MobileNetV4.ThermalStatus?
    }

    let unit: MobileNetV4.Plan.Unit?
    /// The figures; nil if the session failed.
    let figures: Figures?
    /// Why it failed.
    let error: String?
    var id: MobileNetV4.Plan.Unit? { unit }

    /// The title; without a unit, Core ML chooses among what the bundle asks for.
    var title: String { unit?.title ?? String(localized: "As built") }
}

extension SessionRow {
    init(_ session: Report.Session) {
        let samples = session.result.samples
        let statistics = samples.flatMap { MobileNetV4.Statistics($0.latenciesMs) }
        unit = session.unit
        error = session.result.error
        if let samples, let statistics {
            figures = Figures(
                median: statistics.percentile(50), slow: statistics.percentile(90),
                count: statistics.count, goldenSqnrDb: samples.goldenSqnrDb, ranOn: session.ranOn,
                isFallback: session.isFallback,
                before: samples.thermalBefore.status, after: samples.thermalAfter.status)
        } else {
            figures = nil
        }
    }
}

/// The sessions of a model, and what computes its operators.
struct BenchmarkView: View {
    let subject: Report.Subject?
    let rows: [SessionRow]
    let operators: [MobileNetV4.OperatorPlan]
    let failure: String?
    let isRunning: Bool
    let thermal: MobileNetV4.ThermalStatus?

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                ThermalLabel(status: thermal)
                if let failure {
                    FailureLabel(failure)
                } else if let subject {
                    SubjectRows(subject: subject)
                    if isRunning { ProgressView("Measuring") }
                    if !rows.isEmpty { LatencyChart(rows: rows) }
                    ForEach(rows) { row in SessionFigures(row: row) }
                    Text("Times are those of the network for one image, without preprocessing.")
                    Text("The golden check compares the outputs with the float model's.")
                } else {
                    Text("Measures the model of the tab Model on every unit.")
                }
                Operators(operators: operators)
            }
            .padding()
            .frame(maxWidth: 700, alignment: .leading)
        }
    }
}

/// What was measured, and on what.
struct SubjectRows: View {
    let subject: Report.Subject

    var body: some View {
        VStack(alignment: .leading, spacing: 4) {
            LabeledContent("Model", value: subject.model)
            LabeledContent("Device", value: subject.device)
            LabeledContent("System", value: subject.system)
        }
        .font(.footnote)
    }
}

/// The median latency on every unit.
struct LatencyChart: View {
    let rows: [SessionRow]
    /// The height of a bar with its label, which grows with the text.
    @ScaledMetric private var bar = 48.0

    var body: some View {
        Chart(rows) { row in
            if let median = row.figures?.median {
                BarMark(
                    x: .value("Median latency in ms", median), y: .value("Unit", row.title)
                )
                .annotation(position: .trailing) { Text(median.milliseconds).font(.caption) }
                .accessibilityLabel(row.title)
                .accessibilityValue(median.milliseconds)
            }
        }
        .chartXAxisLabel("Median latency in ms")
        .frame(minHeight: bar * Double(rows.count + 1))
    }
}

/// The figures of a session.
struct SessionFigures: View {
    let row: SessionRow

    var body: some View {
        VStack(alignment: .leading, spacing: 4) {
            Text(row.title).font(.headline)
            if let figures = row.figures {
                LabeledContent("Asked for", value: row.title)
                LabeledContent("Ran on", value: figures.ranOn.title)
                if figures.isFallback {
                    FailureLabel(
                        String(localized: "The unit that was asked for did not run all of it."))
                }
                LabeledContent("Median", value: figures.median.milliseconds)
                LabeledContent("90th percentile", value: figures.slow.milliseconds)
                LabeledContent("Runs", value: figures.count.formatted())
                LabeledContent("Golden check", value: figures.goldenSqnrDb.decibels)
                LabeledContent("Thermal state before", value: figures.before.title)
                LabeledContent("Thermal state after", value: figures.after.title)
            } else {
                FailureLabel(row.error ?? "")
            }
        }
        .font(.footnote)
        .accessibilityElement(children: .combine)
    }
}

/// Which unit computes how many operators.
struct Operators: View {
    let operators: [MobileNetV4.OperatorPlan]

    var body: some View {
        if !operators.isEmpty {
            Text("Operators").font(.headline)
            ForEach(OperatorCount.counts(operators)) { one in
                LabeledContent(title(one.unit), value: one.count.formatted())
            }
            DisclosureGroup("All operators") {
                ForEach(operators) { one in
                    LabeledContent(name(one), value: title(one.unit))
                        .font(.caption)
                }
            }
        }
    }

    private func name(_ one: MobileNetV4.OperatorPlan) -> String {
        "\(one.kind) \(one.name)"
    }

    private func title(_ unit: MobileNetV4.Plan.Unit?) -> String {
        unit?.title ?? String(localized: "Unknown")
    }
}
