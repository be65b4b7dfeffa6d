import MobileNetV4ModelsMain
import MobileNetV4ModelsShop

/// Opens one artifact at two input sizes: a small one for a preview, and the default.
func previewAndPhoto() async throws -> (MobileNetV4, MobileNetV4) {
    let constant = MainModels.convSmall035_96x96_64x96Fp32Coreml
    let preview = try await MobileNetV4(
        constant, units: .auto, inputSize: MobileNetV4.InputSize(height: 64, width: 96))
    return (preview, try await MobileNetV4(constant))
}

/// Opens the smallest of the sizes that a bundle takes, in either runtime.
func smallest() async throws -> [MobileNetV4] {
    let folder = ShopModels.convSmall035_96x96_64x96Fp32Executorch.folder
    let sizes = try MobileNetV4.ModelBundle(folder: folder).manifest.inputSizes
    let size = sizes.min { $0.height * $0.width < $1.height * $1.width }
    return [
        try await MobileNetV4(executorch: folder, inputSize: size),
        try await MobileNetV4(
            anyOf: [MainModels.convSmall035_96x96_64x96Fp32Coreml], inputSize: size),
    ]
}
