import MobileNetV4Kit
import SwiftUI

/// What a picture shows, with bars.
struct Predictions: View {
    let top: [MobileNetV4.Classification]

    var body: some View {
        VStack(alignment: .leading, spacing: 8) {
            ForEach(top, id: \.index) { one in
                VStack(alignment: .leading, spacing: 2) {
                    HStack {
                        Text(one.label).font(.headline)
                        Spacer()
                        Text(percent(one)).font(.body.monospacedDigit())
                    }
                    ProgressView(value: Double(one.probability))
                }
                .accessibilityElement(children: .ignore)
                .accessibilityLabel(one.label)
                .accessibilityValue(percent(one))
            }
        }
    }

    private func percent(_ one: MobileNetV4.Classification) -> String {
        Double(one.probability).formatted(.percent.precision(.fractionLength(1)))
    }
}

/// How long it took, and how warm the device is.
struct Latency: View {
    let times: MobileNetV4.Outputs.Times
    @State private var thermal = MobileNetV4.AppleDevice().thermal().status

    var body: some View {
        HStack(spacing: 12) {
            Label("\(ms(times.network)) ms", systemImage: "bolt")
                .accessibilityLabel("Network")
                .accessibilityValue("\(ms(times.network)) milliseconds")
            Label("\(ms(times.preprocess)) ms", systemImage: "crop")
                .accessibilityLabel("Preprocessing")
                .accessibilityValue("\(ms(times.preprocess)) milliseconds")
            ThermalLabel(status: thermal)
        }
        .font(.footnote.monospacedDigit())
        .onReceive(ThermalLabel.changes) { _ in thermal = MobileNetV4.AppleDevice().thermal().status
        }
    }

    private func ms(_ value: Double) -> String {
        value.formatted(.number.precision(.fractionLength(1)))
    }
}

/// How warm the device is.
struct ThermalLabel: View {
    /// Posted by the system.
    @MainActor static let changes = NotificationCenter.default
        .publisher(for: ProcessInfo.thermalStateDidChangeNotification)
        .receive(on: DispatchQueue.main)

    let status: MobileNetV4.ThermalStatus?

    var body: some View {
        Label(status?.rawValue ?? "unknown", systemImage: "thermometer.medium")
            .foregroundStyle(status.map { $0 > .fair } == true ? Color.red : Color.primary)
            .accessibilityLabel("Thermal state")
            .accessibilityValue(status?.rawValue ?? "unknown")
    }
}

/// What stands in for a screen while there is no network.
struct Waiting: View {
    let state: Classifier.State

    var body: some View {
        switch state {
        case .loading: ProgressView("Opening the model")
        case .failed(let message):
            Label(message, systemImage: "exclamationmark.triangle")
                .multilineTextAlignment(.center)
                .padding()
        case .ready: EmptyView()
        }
    }
}
