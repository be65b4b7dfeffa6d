import Charts
import MobileNetV4Kit
import SwiftUI

/// Measures the chosen model on every unit.
struct BenchmarkScreen: View {
    @EnvironmentObject private var classifier: Classifier
    @StateObject private var bench = Bench()
    @State private var measuring: Task<Void, Never>?

    var body: some View {
        NavigationStack {
            ScrollView {
                VStack(alignment: .leading, spacing: 16) {
                    ThermalLabel(status: MobileNetV4.AppleDevice().thermal().status)
                    if bench.runs.isEmpty {
                        Text("Measures the model of the tab Model on every unit.")
                    } else {
                        LatencyChart(runs: bench.runs)
                        ForEach(bench.runs) { run in RunRow(run: run) }
                    }
                    OperatorRows(operators: bench.operators)
                }
                .padding()
            }
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

/// The median latency on every unit.
struct LatencyChart: View {
    let runs: [Bench.Run]

    var body: some View {
        Chart(runs) { run in
            if let median = run.statistics?.percentile(50) {
                BarMark(
                    x: .value("Median latency in ms", median),
                    y: .value("Unit", run.title)
                )
                .annotation(position: .trailing) { Text(Bench.ms(median)).font(.caption) }
                .accessibilityLabel(run.title)
                .accessibilityValue("\(Bench.ms(median)) milliseconds")
            }
        }
        .chartXAxisLabel("Median latency in ms")
        .frame(height: 220)
    }
}

/// One session in words.
struct RunRow: View {
    let run: Bench.Run

    var body: some View {
        VStack(alignment: .leading, spacing: 4) {
            Text(run.title).font(.headline)
            if let samples = run.result.samples, let statistics = run.statistics {
                Text(
                    "median \(Bench.ms(statistics.percentile(50))) ms, 90th percentile "
                        + "\(Bench.ms(statistics.percentile(90))) ms, \(statistics.count) runs")
                Text(
                    "golden check \(Bench.ms(samples.goldenSqnrDb)) dB, thermal state "
                        + "\(samples.thermalBefore.status?.rawValue ?? "unknown") to "
                        + "\(samples.thermalAfter.status?.rawValue ?? "unknown")")
            } else {
                Text(run.result.error ?? "")
            }
        }
        .font(.footnote)
        .accessibilityElement(children: .combine)
    }
}

/// Which part of the chip computes how many operators.
struct OperatorRows: View {
    let operators: [MobileNetV4.OperatorPlan]

    private var units: [String] { Set(operators.compactMap(\.device)).sorted() }

    var body: some View {
        if !operators.isEmpty {
            ForEach(units, id: \.self) { unit in
                LabeledContent(
                    unit, value: "\(operators.filter { $0.device == unit }.count) operators")
            }
            DisclosureGroup("All \(operators.count) operators") {
                ForEach(operators) { one in
                    LabeledContent("\(one.kind) \(one.name)", value: one.device ?? "unknown")
                        .font(.caption)
                }
            }
        }
    }
}
