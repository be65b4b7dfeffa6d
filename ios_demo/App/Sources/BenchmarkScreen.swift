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
                rows: bench.runs.map(SessionRow.init), operators: bench.operators, thermal: thermal
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
        let before: MobileNetV4.ThermalStatus?
        let after: MobileNetV4.ThermalStatus?
    }

    let unit: MobileNetV4.Plan.Unit?
    /// The figures; nil if the session failed.
    let figures: Figures?
    /// Why it failed.
    let error: String?
    var id: MobileNetV4.Plan.Unit? { unit }
}

extension SessionRow {
    init(_ run: Bench.Run) {
        let samples = run.result.samples
        let statistics = samples.flatMap { MobileNetV4.Statistics($0.latenciesMs) }
        unit = run.unit
        error = run.result.error
        if let samples, let statistics {
            figures = Figures(
                median: statistics.percentile(50), slow: statistics.percentile(90),
                count: statistics.count, goldenSqnrDb: samples.goldenSqnrDb,
                before: samples.thermalBefore.status, after: samples.thermalAfter.status)
        } else {
            figures = nil
        }
    }
}

/// The sessions of a model, and what computes its operators.
struct BenchmarkView: View {
    let rows: [SessionRow]
    let operators: [MobileNetV4.OperatorPlan]
    let thermal: MobileNetV4.ThermalStatus?

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                ThermalLabel(status: thermal)
                if rows.isEmpty {
                    Text("Measures the model of the tab Model on every unit.")
                } else {
                    LatencyChart(rows: rows)
                    ForEach(rows) { row in SessionFigures(row: row) }
                }
                Operators(operators: operators)
            }
            .padding()
            .frame(maxWidth: 700, alignment: .leading)
        }
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
                    x: .value("Median latency in ms", median), y: .value("Unit", row.unit.title)
                )
                .annotation(position: .trailing) { Text(median.milliseconds).font(.caption) }
                .accessibilityLabel(row.unit.title)
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
            Text(row.unit.title).font(.headline)
            if let figures = row.figures {
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

/// Which part of the chip computes how many operators.
struct Operators: View {
    let operators: [MobileNetV4.OperatorPlan]

    var body: some View {
        if !operators.isEmpty {
            Text("Operators").font(.headline)
            ForEach(OperatorCount.counts(operators)) { one in
                LabeledContent(title(one.device), value: one.count.formatted())
            }
            DisclosureGroup("All operators") {
                ForEach(operators) { one in
                    LabeledContent(name(one), value: title(one.device))
                        .font(.caption)
                }
            }
        }
    }

    private func name(_ one: MobileNetV4.OperatorPlan) -> String {
        "\(one.kind) \(one.name)"
    }

    private func title(_ device: String?) -> String {
        device ?? String(localized: "Unknown")
    }
}
