import MobileNetV4ModelsMain
import SwiftUI

/// Chooses the model and what the runtime may use.
struct ModelScreen: View {
    @EnvironmentObject private var classifier: Classifier

    var body: some View {
        NavigationStack {
            ModelView(
                choice: $classifier.choice, models: MainModels.all, state: classifier.state,
                about: (classifier.network?.manifest).map(About.init),
                found: classifier.network?.choice
            )
            .navigationTitle("Model")
        }
    }
}

/// What people want to know of a model.
struct About {
    let network: String
    let precision: String
    let input: String
    let bytes: Int
    let licence: String?
}

extension About {
    init(_ manifest: MobileNetV4.Manifest) {
        network = manifest.model.name
        precision = manifest.recipe
        input = "\(manifest.preprocess.height) × \(manifest.preprocess.width)"
        bytes = manifest.artifact.bytes
        licence = manifest.model.licence
    }
}

/// The models and units to choose from, and what is known of the one that is open.
struct ModelView: View {
    @Binding var choice: Choice
    let models: [MobileNetV4.Model]
    let state: Classifier.State
    let about: About?
    /// What the automatic choice found; nil if people chose.
    let found: MobileNetV4.UnitChoice?

    var body: some View {
        Form {
            Picker("Model", selection: $choice.model) {
                ForEach(models) { model in
                    Text(model.id).tag(MobileNetV4.Model?.some(model))
                }
            }
            .pickerStyle(.inline)
            Picker("Compute unit", selection: $choice.computeUnit) {
                Text("Automatic").tag(MobileNetV4.ComputeUnit?.none)
                ForEach(MobileNetV4.ComputeUnit.allCases, id: \.self) { unit in
                    Text(unit.title).tag(MobileNetV4.ComputeUnit?.some(unit))
                }
            }
            .pickerStyle(.inline)
            if let found { Findings(choice: found) }
            Section("About this model") {
                if let about {
                    LabeledContent("Network", value: about.network)
                    LabeledContent("Precision", value: about.precision)
                    LabeledContent("Input", value: about.input)
                    LabeledContent(
                        "Size", value: Int64(about.bytes).formatted(.byteCount(style: .file)))
                    LabeledContent(
                        "Licence of the weights",
                        value: about.licence ?? String(localized: "Unknown"))
                } else {
                    Waiting(state: state)
                }
            }
        }
    }
}

/// The units that the automatic choice tried, and why they run the model or do not.
struct Findings: View {
    let choice: MobileNetV4.UnitChoice

    var body: some View {
        Section("Compute units on this device") {
            ForEach(choice.findings, id: \.unit) { one in
                VStack(alignment: .leading, spacing: 4) {
                    LabeledContent(one.unit.title, value: one.verdict.title)
                    Text(one.reason).font(.footnote)
                }
                .accessibilityElement(children: .combine)
            }
        }
    }
}
