import CoreML
import CoreVideo

// https://developer.apple.com/documentation/vision/vncoremlmodel
public class VNCoreMLModel: NSObject {
    public init(for model: MLModel) throws {}
}
// https://developer.apple.com/documentation/vision/vnobservation
public class VNObservation: NSObject {
    public var confidence: Float { 0 }
}
// https://developer.apple.com/documentation/vision/vnclassificationobservation
public class VNClassificationObservation: VNObservation {
    public var identifier: String { "" }
}
// https://developer.apple.com/documentation/vision/vnrequest
public class VNRequest: NSObject {
    public var results: [VNObservation]? { nil }
}
// https://developer.apple.com/documentation/vision/vnimagecropandscaleoption
public enum VNImageCropAndScaleOption: UInt, @unchecked Sendable {
    case centerCrop = 0
    case scaleFit = 1
    case scaleFill = 2
}
// https://developer.apple.com/documentation/vision/vncoremlrequest
public class VNCoreMLRequest: VNRequest {
    public init(model: VNCoreMLModel) {}
    public var imageCropAndScaleOption: VNImageCropAndScaleOption = .centerCrop
}
// https://developer.apple.com/documentation/vision/vnimageoption
public struct VNImageOption: Hashable, Sendable {}
// https://developer.apple.com/documentation/vision/vnimagerequesthandler
public class VNImageRequestHandler: NSObject {
    public init(cvPixelBuffer: CVPixelBuffer, options: [VNImageOption: Any] = [:]) {}
    public func perform(_ requests: [VNRequest]) throws {}
}
