import MobileNetV4ModelsMain
import MobileNetV4ModelsShop

/// Reads the bundle of a constant, and checks that its files came into the app unchanged.
func opened(_ model: MobileNetV4.Model) throws -> MobileNetV4.ModelBundle {
    let bundle = try MobileNetV4.ModelBundle(folder: model.folder)
    try bundle.checkArtifact()
    _ = try MobileNetV4.Golden(bundle)
    return bundle
}

let all = MainModels.all + ShopModels.all
for model in all { print(model.id, try opened(model).manifest.target) }
precondition(Set(all.map(\.id)).count == all.count, "two models have one id")
let digits = try opened(MainModels.convSmall035_96x96Fp16Coreml).manifest
let things = try opened(ShopModels.convSmall035_96x96Fp16Coreml).manifest
precondition(digits.id == things.id && digits.labels != things.labels, "one bundle for two")
