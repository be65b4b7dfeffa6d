import CoreGraphics
import MobileNetV4ModelsMain
import MobileNetV4ModelsShop

/// Classifies an image with two networks, which have the same id and are in packages of their own.
struct TwoClassifiers {
    let digits: MobileNetV4
    let things: MobileNetV4

    init() async throws {
        digits = try await MobileNetV4(MainModels.convSmall035_96x96Fp16Coreml)
        things = try await MobileNetV4(ShopModels.convSmall035_96x96Fp16Coreml)
    }

    func labels(of image: CGImage) async throws -> [String] {
        let found = try await digits.classify(image, top: 1) + things.classify(image, top: 1)
        return found.map(\.label)
    }
}

/// Every network of both packages, by an id that is unique in the app.
let models = Dictionary(
    uniqueKeysWithValues: (MainModels.all + ShopModels.all).map { ($0.id, $0.folder) })

/// Opens a network for the other runtime, which its package brings.
func open() async throws -> MobileNetV4 {
    try await MobileNetV4(executorch: ShopModels.convSmall035_96x96_64x96Fp32Executorch)
}
