import MobileNetV4Kit
import SwiftUI

/// What the previews show.
@MainActor
private enum Planted {
    static let spec = MobileNetV4.PreprocessSpec(
        size: [224, 224], crop: 0.875, interpolation: .bicubic, mean: [0, 0, 0], std: [1, 1, 1])

    static let top = [
        ("golden retriever", 0.71), ("Labrador retriever", 0.18),
        ("a class whose name needs more than one line of a narrow phone", 0.04),
    ].enumerated().map { index, one in
        MobileNetV4.Classification(index: index, label: one.0, probability: Float(one.1))
    }

    static let reading = Reading(
        top: top, times: MobileNetV4.Outputs.Times(preprocess: 1.4, network: 2.3))

    static let findings = Camera.Findings(
        reading: reading, viewfinder: Viewfinder(width: 640, height: 480, turn: .portrait))

    static let sideways = Camera.Findings(
        reading: reading,
        viewfinder: Viewfinder(width: 640, height: 480, turn: Turn(angle: 180)))

    static let photo = Photo(
        image: UIImage(systemName: "photo"),
        viewfinder: Viewfinder(width: 4, height: 3, turn: .portrait),
        reading: reading)

    static let subject = Report.Subject(
        model: models[0].id, network: about.network, recipe: about.precision,
        input: [1, 3, 224, 224], artifactSha256: "0123", device: "iPhone16,1",
        system: "Version 18.1 (Build 22B83)")

    static let rows = [
        SessionRow(
            unit: nil,
            figures: SessionRow.Figures(
                median: 1.2, slow: 1.9, count: 812, goldenSqnrDb: 41.3, ranOn: [.cpu, .npu],
                isFallback: false,
                before: .nominal,
                after: .fair), error: nil),
        SessionRow(
            unit: .cpu,
            figures: SessionRow.Figures(
                median: 6.4, slow: 7.1, count: 156, goldenSqnrDb: 40.2, ranOn: [.cpu],
                isFallback: false, before: .fair, after: .fair),
            error: nil),
        SessionRow(
            unit: .npu,
            figures: SessionRow.Figures(
                median: 6.3, slow: 7.0, count: 158, goldenSqnrDb: 40.2, ranOn: [.cpu],
                isFallback: true, before: .fair, after: .fair),
            error: nil),
        SessionRow(unit: .gpu, figures: nil, error: "conv-small: Core ML failed: no memory"),
    ]

    static let operators = (0..<60).map { index in
        MobileNetV4.OperatorPlan(
            id: index, kind: "ios16.conv", name: "conv_\(index)",
            unit: index < 55 ? .npu : .cpu, supported: [.cpu, .npu], cost: nil)
    }

    static let models = ["main.conv-small-224x224-fp16", "main.hybrid-medium-224x224-int8"].map {
        MobileNetV4.Model(id: $0, in: .main)
    }

    static let about = About(
        network: "mobilenetv4_conv_small", precision: "fp16", input: "224 × 224", bytes: 7_670_000,
        licence: nil)

    static let found = MobileNetV4.UnitChoice(
        unit: .cpuAndNeuralEngine,
        findings: [
            .init(
                .cpuOnly, .slower, reason: "slower: takes 6.40 ms, cpu_and_ne 1.20 ms",
                medianMs: 6.4),
            .init(
                .cpuAndGPU, .wrong,
                reason: "wrong: output logits: 3.1 dB, must be 30.0 or more"),
            .init(.cpuAndNeuralEngine, .fastest, reason: "right: takes 1.20 ms", medianMs: 1.2),
            .init(.all, .hung, reason: "hangs: no result within 30 s"),
        ])

    static func camera(
        _ findings: Camera.Findings, state: Classifier.State = .loading,
        thermal: MobileNetV4.ThermalStatus = .nominal
    ) -> some View {
        CameraView(findings: findings, state: state, thermal: thermal, spec: spec) {
            Color.gray
        }
    }

    static func photo(_ photo: Photo) -> some View {
        PhotoView(photo: photo, state: .loading, thermal: .fair, spec: spec)
    }

    static func benchmark(
        _ subject: Report.Subject?, rows: [SessionRow] = [],
        operators: [MobileNetV4.OperatorPlan] = [], failure: String? = nil, isRunning: Bool = false
    ) -> some View {
        BenchmarkView(
            subject: subject, rows: rows, operators: operators, failure: failure,
            isRunning: isRunning, thermal: .fair)
    }

    static func model(_ about: About?, state: Classifier.State = .loading) -> some View {
        ModelView(
            choice: .constant(Choice(model: models[0], computeUnit: nil)),
            models: models, state: state, about: about, found: about.map { _ in found })
    }
}

#Preview("Camera") {
    Planted.camera(Planted.findings)
}

#Preview("Camera, hot") {
    Planted.camera(Planted.findings, thermal: .serious)
}

#Preview("Camera, not allowed") {
    Planted.camera(Camera.Findings(obstacle: .denied))
}

#Preview("Camera, large text") {
    Planted.camera(Planted.findings, thermal: .critical).dynamicTypeSize(.accessibility5)
}

@available(iOS 17, *)
#Preview("Camera, landscape", traits: .landscapeLeft) {
    Planted.camera(Planted.sideways)
}

#Preview("Photo") {
    Planted.photo(Planted.photo)
}

@available(iOS 17, *)
#Preview("Photo, landscape", traits: .landscapeLeft) {
    Planted.photo(Planted.photo)
}

#Preview("Photo, none yet") {
    Planted.photo(Photo())
}

#Preview("Photo, large text") {
    Planted.photo(Planted.photo).dynamicTypeSize(.accessibility5)
}

#Preview("Benchmark") {
    Planted.benchmark(Planted.subject, rows: Planted.rows, operators: Planted.operators)
}

#Preview("Benchmark, nothing measured") {
    Planted.benchmark(nil)
}

#Preview("Benchmark, running") {
    Planted.benchmark(Planted.subject, rows: [Planted.rows[0]], isRunning: true)
}

#Preview("Benchmark, large text") {
    Planted.benchmark(Planted.subject, rows: Planted.rows, operators: Planted.operators)
        .dynamicTypeSize(.accessibility5)
}

#Preview("Model") {
    Planted.model(Planted.about)
}

#Preview("Model, damaged") {
    Planted.model(nil, state: .failed("conv-small: model.mil: damaged: sha256 0123..."))
}

#Preview("Model, large text") {
    Planted.model(Planted.about).dynamicTypeSize(.accessibility5)
}
