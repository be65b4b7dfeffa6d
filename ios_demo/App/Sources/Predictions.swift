import MobileNetV4Kit
import SwiftUI

/// What a picture shows.
struct Reading {
    /// The most probable classes.
    let top: [MobileNetV4.Classification]
    /// How long it took.
    let times: MobileNetV4.Outputs.Times
}

/// What a picture shows, or why nothing is known of it.
struct Results: View {
    let reading: Reading?
    let failure: String?
    let state: Classifier.State
    let thermal: MobileNetV4.ThermalStatus?

    var body: some View {
        if let failure {
            FailureLabel(failure)
        } else if let reading {
            Predictions(top: reading.top)
            Latency(times: reading.times, thermal: thermal)
        } else {
            Waiting(state: state)
        }
    }
}

/// The classes, with bars.
struct Predictions: View {
    let top: [MobileNetV4.Classification]

    var body: some View {
        ForEach(top, id: \.index) { one in
            VStack(alignment: .leading, spacing: 2) {
                Flow {
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

    private func percent(_ one: MobileNetV4.Classification) -> String {
        Double(one.probability).formatted(.percent.precision(.fractionLength(1)))
    }
}

/// How long it took, and how warm the device is.
struct Latency: View {
    let times: MobileNetV4.Outputs.Times
    let thermal: MobileNetV4.ThermalStatus?

    var body: some View {
        Flow {
            Label(times.network.milliseconds, systemImage: "bolt")
                .accessibilityLabel("Network")
                .accessibilityValue(times.network.milliseconds)
            Label(times.preprocess.milliseconds, systemImage: "crop")
                .accessibilityLabel("Preprocessing")
                .accessibilityValue(times.preprocess.milliseconds)
            ThermalLabel(status: thermal)
        }
        .font(.footnote.monospacedDigit())
    }
}

/// How warm the device is.
struct ThermalLabel: View {
    let status: MobileNetV4.ThermalStatus?

    var body: some View {
        Label(status.title, systemImage: "thermometer.medium")
            .foregroundStyle(status.map { $0 > .fair } == true ? Color.red : Color.primary)
            .accessibilityLabel("Thermal state")
            .accessibilityValue(status.title)
    }
}

/// What went wrong.
struct FailureLabel: View {
    private let message: String

    init(_ message: String) {
        self.message = message
    }

    var body: some View {
        Label(message, systemImage: "exclamationmark.triangle")
    }
}

/// What stands in for results while there is no network.
struct Waiting: View {
    let state: Classifier.State

    var body: some View {
        switch state {
        case .loading: ProgressView("Opening the model")
        case .failed(let message): FailureLabel(message)
        case .ready: EmptyView()
        }
    }
}
