import MobileNetV4ModelsMain

/// Opens one network on the newest runtime that the device has.
func newest() async throws -> MobileNetV4 {
    let model = try await MobileNetV4(
        anyOf: [MainModels.convSmall035_96x96Fp16Coreai, MainModels.convSmall035_96x96Fp16Coreml],
        units: .auto)
    if let choice = model.choice {
        for finding in choice.findings { print(finding.unit, finding.verdict, finding.reason) }
    }
    print("runs on \(try await model.runtime), made for \(model.manifest.target)")
    return model
}
