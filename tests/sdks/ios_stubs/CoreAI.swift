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
    public let preferredComputeUnitKind: ComputeUnitKind?
    init() { preferredComputeUnitKind = nil }
    public init(preferredComputeUnitKind: ComputeUnitKind) {
        self.preferredComputeUnitKind = preferredComputeUnitKind
    }
}
// https://developer.apple.com/documentation/swift/span
public struct Span<Element> {}
// https://developer.apple.com/documentation/coreai/ndarray
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct NDArray: Sendable {
    public enum ScalarType: Sendable {
        case float32, float16, bfloat16, int32, int8, uint8
    }
    public struct InterleaveLayout: Sendable {
        public init(dimension: Int, factor: Int) {}
    }
    public struct RawView {
        let memory: Memory
        public func withUnsafeBytes<R, E: Error>(
            _ body: (UnsafeRawPointer, Span<Int>, Span<Int>) throws(E) -> R
        ) throws(E) -> R { try body(UnsafeRawPointer(memory.start), Span(), Span()) }
    }
    public struct MutableRawView {
        let memory: Memory
        public func withUnsafeMutableBytes<R, E: Error>(
            _ body: (UnsafeMutableRawPointer, Span<Int>, Span<Int>) throws(E) -> R
        ) throws(E) -> R { try body(memory.start, Span(), Span()) }
    }
    final class Memory: @unchecked Sendable {
        let start: UnsafeMutableRawPointer
        init(_ count: Int) {
            start = .allocate(byteCount: count, alignment: 64)
            start.initializeMemory(as: UInt8.self, repeating: 0xff, count: count)
        }
        deinit { start.deallocate() }
    }
    let memory: Memory
    public let shape: [Int]
    public let scalarType: ScalarType
    public let strides: [Int]
    public let interleaveLayout: InterleaveLayout?
    public init(shape: [Int], scalarType: ScalarType) {
        let strides = shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
        self.init(shape: shape, scalarType: scalarType, strides: strides)
    }
    public init(shape: [Int], scalarType: ScalarType, strides: [Int]) {
        self.init(shape, scalarType, strides, nil)
    }
    public init(
        shape: [Int], scalarType: ScalarType, strides: [Int], interleaveLayout: InterleaveLayout
    ) { self.init(shape, scalarType, strides, interleaveLayout) }
    private init(
        _ shape: [Int], _ scalarType: ScalarType, _ strides: [Int], _ layout: InterleaveLayout?
    ) {
        (self.shape, self.scalarType, self.strides) = (shape, scalarType, strides)
        interleaveLayout = layout
        memory = Memory(4 * zip(shape, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 })
    }
    public func rawView() -> RawView { RawView(memory: memory) }
    public mutating func mutableRawView() -> MutableRawView { MutableRawView(memory: memory) }
}
// https://developer.apple.com/documentation/coreai/inferencevalue
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct InferenceValue: Sendable {
    public let ndArray: NDArray?
}
// https://developer.apple.com/documentation/coreai/inferencefunctiondescriptor
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct InferenceFunctionDescriptor: Sendable {
    public var outputNames: [String] { Computation.current.outputNames ?? [] }
}
// https://developer.apple.com/documentation/coreai/inferencefunction
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct InferenceFunction: Sendable {
    public struct MutableViews {
        public init() {}
    }
    public struct Outputs: ~Copyable, Sendable {
        var arrays: [String: NDArray]
        public mutating func remove(_ name: String) -> InferenceValue? {
            arrays.removeValue(forKey: name).map { InferenceValue(ndArray: $0) }
        }
    }
    public let descriptor = InferenceFunctionDescriptor()
    public func run(
        inputs: [String: NDArray], states: consuming MutableViews = MutableViews(),
        outputViews: consuming MutableViews = MutableViews()
    ) async throws -> Outputs { Outputs(arrays: try await Computation.current.run(inputs)) }
}
// https://developer.apple.com/documentation/coreai/aimodel
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct AIModel: Sendable {
    @discardableResult
    public static func specialize(
        contentsOf modelURL: URL, options: SpecializationOptions = .default
    ) async throws -> AIModel {
        try Computation.current.specialize(modelURL, options)
        return AIModel()
    }
    init() {}
    public init(contentsOf modelURL: URL, options: SpecializationOptions = .default) async throws {
        try Computation.current.specialize(modelURL, options)
    }
    public func loadFunction(named functionName: String) throws -> InferenceFunction? {
        functionName == "main" && Computation.current.outputNames != nil
            ? InferenceFunction() : nil
    }
}
// Ours: what the module does when tests run the code that uses it.
@available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *)
public struct Computation: Sendable {
    public nonisolated(unsafe) static var current = Computation()
    public init() {}
    public var specialize: @Sendable (URL, SpecializationOptions) throws -> Void = { _, _ in }
    /// The outputs of the function `main`; nil if there is none.
    public var outputNames: [String]?
    public var run: @Sendable ([String: NDArray]) async throws -> [String: NDArray] = { _ in [:] }
}
