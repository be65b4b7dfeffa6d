import MobileNetV4ModelsMain

/// Opens one network on the newest runtime that the device has.
func newest() async throws -> MobileNetV4 {
    let model = try await MobileNetV4(
        anyOf: [MainModels.convSmall035_96x96Fp16Coreai, MainModels.convSmall035_96x96Fp16Coreml],
        computeUnit: .cpuAndNeuralEngine)
    print("runs on \(try await model.runtime), made for \(model.manifest.target)")
    return model
}
