import CoreML
import CoreVideo
import MobileNetV4ModelsMain
import Vision

/// Classifies frames with Vision, which runs the compiled model itself.
final class WithVision {
    private let request: VNCoreMLRequest

    init() async throws {
        let folder = MainModels.convSmall035_96x96Fp16Coreml.folder
        let url = try await MobileNetV4.compiledModel(folder: folder)
        let model = try await MLModel.load(contentsOf: url)
        request = VNCoreMLRequest(model: try VNCoreMLModel(for: model))
        request.imageCropAndScaleOption = .centerCrop
    }

    func labels(of frame: CVPixelBuffer) throws -> [String] {
        try VNImageRequestHandler(cvPixelBuffer: frame).perform([request])
        let found = request.results as? [VNClassificationObservation] ?? []
        return found.map { "\($0.identifier) \($0.confidence)" }
    }
}
