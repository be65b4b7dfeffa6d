import MobileNetV4ModelsMain
import SwiftUI

/// Chooses the model and what Core ML may use.
struct SettingsScreen: View {
    @EnvironmentObject private var classifier: Classifier

    var body: some View {
        NavigationStack {
            Form {
                Picker("Model", selection: $classifier.choice.model) {
                    ForEach(MainModels.all) { model in
                        Text(model.id).tag(MobileNetV4.Model?.some(model))
                    }
                }
                .pickerStyle(.inline)
                Picker("Compute unit", selection: $classifier.choice.computeUnit) {
                    ForEach(MobileNetV4.ComputeUnit.allCases, id: \.self) { unit in
                        Text(unit.title).tag(unit)
                    }
                }
                .pickerStyle(.inline)
                Section("About this model") { about }
            }
            .navigationTitle("Model")
        }
    }

    @ViewBuilder
    private var about: some View {
        if let network = classifier.network {
            let manifest = network.manifest
            let size = "\(manifest.preprocess.height) x \(manifest.preprocess.width)"
            LabeledContent("Network", value: manifest.model.name)
            LabeledContent("Precision", value: manifest.recipe)
            LabeledContent("Input", value: size)
            LabeledContent(
                "Size",
                value: Int64(manifest.artifact.bytes).formatted(.byteCount(style: .file)))
            LabeledContent("Licence of the weights", value: manifest.model.licence ?? "not known")
        } else {
            Waiting(state: classifier.state)
        }
    }
}
