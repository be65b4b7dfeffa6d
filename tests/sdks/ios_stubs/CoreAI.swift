@_exported import Foundation

// https://developer.apple.com/documentation/coreai/computeunitkind
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public enum ComputeUnitKind: Sendable, Hashable {
    case cpu, gpu, neuralEngine
}
// https://developer.apple.com/documentation/coreai/specializationoptions
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct SpecializationOptions: Sendable {
    public static let `default` = SpecializationOptions()
    public static let cpuOnly = SpecializationOptions()
    init() {}
    public init(preferredComputeUnitKind: ComputeUnitKind) {}
}
// https://developer.apple.com/documentation/swift/span
public struct Span<Element> {}
// https://developer.apple.com/documentation/coreai/ndarray
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct NDArray: Sendable {
    public enum ScalarType: Sendable {
        case float32, float16, bfloat16, int32, int8, uint8
    }
    public struct InterleaveLayout: Sendable {}
    public struct RawView {
        public func withUnsafeBytes<R, E: Error>(
            _ body: (UnsafeRawPointer, Span<Int>, Span<Int>) throws(E) -> R
        ) throws(E) -> R { fatalError() }
    }
    public struct MutableRawView {
        public func withUnsafeMutableBytes<R, E: Error>(
            _ body: (UnsafeMutableRawPointer, Span<Int>, Span<Int>) throws(E) -> R
        ) throws(E) -> R { fatalError() }
    }
    public init(shape: [Int], scalarType: ScalarType) {}
    public var shape: [Int] { [] }
    public var scalarType: ScalarType { .float32 }
    public var strides: [Int] { [] }
    public var interleaveLayout: InterleaveLayout? { nil }
    public func rawView() -> RawView { RawView() }
    public mutating func mutableRawView() -> MutableRawView { MutableRawView() }
}
// https://developer.apple.com/documentation/coreai/inferencevalue
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct InferenceValue: Sendable {
    public var ndArray: NDArray? { nil }
}
// https://developer.apple.com/documentation/coreai/inferencefunctiondescriptor
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct InferenceFunctionDescriptor: Sendable {
    public var inputNames: [String] { [] }
    public var outputNames: [String] { [] }
}
// https://developer.apple.com/documentation/coreai/inferencefunction
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct InferenceFunction: Sendable {
    public struct MutableViews {
        public init() {}
    }
    public struct Outputs: ~Copyable, Sendable {
        public mutating func remove(_ name: String) -> InferenceValue? { nil }
    }
    public let descriptor = InferenceFunctionDescriptor()
    public func run(
        inputs: [String: NDArray], states: consuming MutableViews = MutableViews(),
        outputViews: consuming MutableViews = MutableViews()
    ) async throws -> Outputs { Outputs() }
}
// https://developer.apple.com/documentation/coreai/aimodel
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct AIModel: Sendable {
    @discardableResult
    public static func specialize(
        contentsOf modelURL: URL, options: SpecializationOptions = .default
    ) async throws -> AIModel { AIModel() }
    init() {}
    public init(contentsOf modelURL: URL, options: SpecializationOptions = .default) async throws {}
    public func loadFunction(named functionName: String) throws -> InferenceFunction? { nil }
}
