import CoreVideo
@_exported import Foundation

// https://developer.apple.com/documentation/coreml/mlcomputeunits
public enum MLComputeUnits: Int, Sendable {
    case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine
}
// https://developer.apple.com/documentation/coreml/mlmodelconfiguration
public class MLModelConfiguration: NSObject {
    public var computeUnits: MLComputeUnits = .all
    // https://developer.apple.com/documentation/coreml/mlmodelconfiguration/functionname
    @available(iOS 18.0, macOS 15.0, tvOS 18.0, visionOS 2.0, *)
    public var functionName: String?
}
// https://developer.apple.com/documentation/coreml/mlfeaturedescription
public class MLFeatureDescription: NSObject {}
// https://developer.apple.com/documentation/coreml/mlmodeldescription
public class MLModelDescription: NSObject {
    public var outputDescriptionsByName: [String: MLFeatureDescription] {
        Dictionary(
            uniqueKeysWithValues: Prediction.current.outputNames.map { ($0, MLFeatureDescription()) })
    }
}
// https://developer.apple.com/documentation/coreml/mlmultiarraydatatype
public enum MLMultiArrayDataType: Int, Sendable {
    case double, float32, float16, int32
}
// https://developer.apple.com/documentation/coreml/mlmultiarray
public class MLMultiArray: NSObject {
    private let memory: UnsafeMutableRawBufferPointer
    public let dataType: MLMultiArrayDataType
    public let shape: [NSNumber]
    public let strides: [NSNumber]
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {
        let sides = shape.map(\.intValue)
        (self.shape, self.dataType) = (shape, dataType)
        strides = sides.indices.map { NSNumber(value: sides[($0 + 1)...].reduce(1, *)) }
        memory = .allocate(byteCount: sides.reduce(dataType == .float16 ? 2 : 4, *), alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0xff)
    }
    deinit { memory.deallocate() }
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(memory))
    }
    public func withUnsafeMutableBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer, [Int]) throws -> R
    ) rethrows -> R { try body(memory, strides.map(\.intValue)) }
}
// https://developer.apple.com/documentation/coreml/mlfeaturevalue
public class MLFeatureValue: NSObject {
    public let multiArrayValue: MLMultiArray?
    public init(multiArray value: MLMultiArray) { multiArrayValue = value }
    public init(pixelBuffer value: CVPixelBuffer) { multiArrayValue = nil }
    public var dictionaryValue: [AnyHashable: NSNumber] { [:] }
}
// https://developer.apple.com/documentation/coreml/mlfeatureprovider
public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}
// https://developer.apple.com/documentation/coreml/mldictionaryfeatureprovider
public class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    private let dictionary: [String: Any]
    public init(dictionary: [String: Any]) throws { self.dictionary = dictionary }
    public var featureNames: Set<String> { Set(dictionary.keys) }
    public func featureValue(for featureName: String) -> MLFeatureValue? {
        dictionary[featureName] as? MLFeatureValue
    }
}
// https://developer.apple.com/documentation/coreml/mlmodel
public class MLModel: NSObject {
    private let function: String?
    init(_ function: String?) { self.function = function }
    public var modelDescription: MLModelDescription { MLModelDescription() }
    public class func compileModel(at modelURL: URL) async throws -> URL {
        let files = FileManager.default
        let compiled = files.temporaryDirectory.appendingPathComponent("\(UUID()).mlmodelc")
        try files.copyItem(at: modelURL, to: compiled)
        return compiled
    }
    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel { MLModel(configuration.functionName) }
    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider {
        try Prediction.current.run(function, input)
    }
}
// Ours: what the module does when tests run the code that uses it.
public struct Prediction: Sendable {
    public nonisolated(unsafe) static var current = Prediction()
    public init() {}
    public var outputNames: Set<String> = []
    /// Runs the function that the model was loaded for; nil is the model's default function.
    public var run: @Sendable (String?, any MLFeatureProvider) throws -> any MLFeatureProvider = {
        $1
    }
}

// https://developer.apple.com/documentation/coreml/mlcpucomputedevice
@available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *)
public class MLCPUComputeDevice: NSObject {}
// https://developer.apple.com/documentation/coreml/mlgpucomputedevice
@available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *)
public class MLGPUComputeDevice: NSObject {}
// https://developer.apple.com/documentation/coreml/mlneuralenginecomputedevice
@available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *)
public class MLNeuralEngineComputeDevice: NSObject {}
// https://developer.apple.com/documentation/coreml/mlcomputedevice
@available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *)
public enum MLComputeDevice {
    case cpu(MLCPUComputeDevice)
    case gpu(MLGPUComputeDevice)
    case neuralEngine(MLNeuralEngineComputeDevice)
}
// https://developer.apple.com/documentation/coreml/mlmodelstructure-swift.enum
@available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
public enum MLModelStructure {
    case program(Program)
    case unsupported

    public struct Program {
        public struct Function { public let block: Block }
        public struct Block { public let operations: [Operation] }
        public struct Operation {
            public let operatorName: String
            public let outputs: [NamedValueType]
        }
        public struct NamedValueType { public let name: String }
        public let functions: [String: Function]
    }
}
// https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n
@available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
public class MLComputePlan {
    public struct DeviceUsage {
        public let supported: [MLComputeDevice]
        public let preferred: MLComputeDevice
    }
    public struct Cost { public let weight: Double }
    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration
    ) async throws -> MLComputePlan { MLComputePlan() }
    public var modelStructure: MLModelStructure { .unsupported }
    public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? { nil }
    public func estimatedCost(of operation: MLModelStructure.Program.Operation) -> Cost? { nil }
}
// https://developer.apple.com/documentation/coreml/mlmodel/availablecomputedevices
extension MLModel {
    @available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *)
    public class var availableComputeDevices: [MLComputeDevice] {
        [
            .cpu(MLCPUComputeDevice()), .gpu(MLGPUComputeDevice()),
            .neuralEngine(MLNeuralEngineComputeDevice()),
        ]
    }
}
