extension MobileNetV4 {
    /// A runtime with a loaded network. Only one call at a time may use it.
    public protocol Session: AnyObject {
        /// Name and version of the runtime.
        var runtime: String { get }

        /// Sets the input of the next run, in the type and order that the manifest says.
        func feed(_ input: UnsafeRawBufferPointer) throws

        /// Runs the network and returns the outputs in the manifest's order, as floats.
        ///
        /// ``MobileNetV4`` checks their number and lengths.
        ///
        /// - Parameter actor: The actor that uses the session. It calls nothing else of the session
        ///   until this returns. Its thread is its own, so a runtime may block it or suspend.
        func run(on actor: isolated any Actor) async throws -> [[Float]]
    }

    /// Loads an artifact into its runtime.
    public protocol SessionLoader: Sendable {
        /// What affects the figures of a measurement, as ``Samples/conditions`` records it: for Core ML
        /// the units that it may really use.
        var conditions: [String: Condition] { get }

        /// Returns the units that run any operator, by the runtime's own account; none if it does not
        /// say.
        func ranOn() async -> [Plan.Unit]

        /// Loads the artifact into a new session.
        ///
        /// - Throws: ``Failure`` if the runtime fails.
        func load() async throws -> sending any Session
    }
}

extension MobileNetV4.SessionLoader {
    /// Nothing, for a runtime that has no such choice.
    public var conditions: [String: MobileNetV4.Condition] { [:] }

    /// Nothing, for a runtime that does not say.
    public func ranOn() async -> [MobileNetV4.Plan.Unit] { [] }
}

extension MobileNetV4.TensorSpec {
    /// Returns elements as floats, from memory that may have gaps between them.
    ///
    /// - Parameters:
    ///   - bytes: The memory, from the first element on.
    ///   - strides: The distance from one element to the next in each dimension, in elements; nil
    ///     for elements without gaps.
    /// - Throws: ``Failure/runtimeFailed(_:)`` if there are fewer bytes than the elements need.
    public func floats(
        _ bytes: UnsafeRawBufferPointer, strides: [Int]? = nil
    ) throws -> [Float] {
        let steps = strides ?? stepsWithoutGaps
        let last = zip(shape, steps).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
        guard steps.count == shape.count, (last + 1) * dtype.bytes <= bytes.count else {
            throw MobileNetV4.Failure.runtimeFailed(
                "output \(name): found \(bytes.count) bytes, its shape is \(shape)")
        }
        var found: [Float] = []
        found.reserveCapacity(count)
        // Without those of length 1, a tensor has at most 31 axes, however many the manifest says.
        let axes = zip(shape, steps).filter { $0.0 > 1 }
        append(to: &found, bytes, at: 0, axes[...])
        return found
    }

    /// Returns an array that a runtime gave for this output as floats.
    ///
    /// - Parameters:
    ///   - bytes: The array's memory.
    ///   - type: The type of its elements: that of the manifest, or another type of floats.
    ///   - shape: Its shape.
    ///   - strides: As in ``floats(_:strides:)``; arrays from the Neural Engine have gaps.
    /// - Throws: ``Failure/runtimeFailed(_:)`` if it has another shape than the output, or integers
    ///   where the output has none.
    package func floats(
        _ bytes: UnsafeRawBufferPointer, of type: MobileNetV4.ElementType, shape: [Int],
        strides: [Int]
    ) throws -> [Float] {
        guard shape == self.shape else {
            throw MobileNetV4.Failure.runtimeFailed(
                "output \(name): found \(shape), must be \(self.shape)")
        }
        // Integers stand for floats as the manifest says of its own type.
        let floats: Set<MobileNetV4.ElementType> = [.float16, .float32]
        guard type == dtype || floats.isSuperset(of: [type, dtype]) else {
            throw MobileNetV4.Failure.runtimeFailed(
                "output \(name): found \(type), must be \(dtype)")
        }
        let found = MobileNetV4.TensorSpec(
            name: name, kind: kind, shape: shape, dtype: type, layout: layout,
            quantization: quantization)
        return try found.floats(bytes, strides: strides)
    }

    private var stepsWithoutGaps: [Int] {
        var step = 1
        return Array(
            shape.reversed().map { length in
                defer { step *= length }
                return step
            }.reversed())
    }

    private func append(
        to found: inout [Float], _ bytes: UnsafeRawBufferPointer, at start: Int,
        _ axes: ArraySlice<(Int, Int)>
    ) {
        guard let (length, step) = axes.first else {
            found.append(float(bytes, start))
            return
        }
        for i in 0..<length {
            append(to: &found, bytes, at: start + i * step, axes.dropFirst())
        }
    }

    private func float(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Float {
        switch dtype {
        case .float32: return bytes.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
        case .float16:
            return Half(bits: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)).float
        case .int8: return real(Int(Int8(bitPattern: bytes[index])))
        case .uint8: return real(Int(bytes[index]))
        }
    }

    private func real(_ integer: Int) -> Float {
        guard let quantization else { return Float(integer) }
        return Float(integer - quantization.zeroPoint) * Float(quantization.scale)
    }
}
