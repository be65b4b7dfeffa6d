extension MobileNetV4 {
    /// The parts of the chip that Core ML may use.
    public enum ComputeUnit: String, Sendable, CaseIterable {
        /// All units. Some devices crash while they load a network for all units.
        case all
        /// The CPU and the Neural Engine.
        case cpuAndNeuralEngine = "cpu_and_ne"
        /// The CPU and the GPU.
        case cpuAndGPU = "cpu_and_gpu"
        /// The CPU.
        case cpuOnly = "cpu_only"

        /// Returns the parts for one unit; Core ML always has the CPU for the rest.
        public init(_ unit: Plan.Unit) {
            switch unit {
            case .cpu: self = .cpuOnly
            case .gpu: self = .cpuAndGPU
            case .npu: self = .cpuAndNeuralEngine
            }
        }

        /// Chooses the parts for a bundle.
        ///
        /// - Parameters:
        ///   - requested: The caller's choice; nil for the bundle's, or else the CPU and the Neural
        ///     Engine.
        ///   - manifest: The bundle's manifest.
        ///   - simulator: Whether this is the Simulator, where Core ML crashes with anything but the
        ///     CPU.
        /// - Throws: ``Failure/badBundle(_:)`` if the bundle asks for units that do not exist.
        public static func chosen(
            _ requested: ComputeUnit?, for manifest: Manifest, simulator: Bool
        ) throws -> ComputeUnit {
            let built = try manifest.requires["coreml.compute_unit"].map { found in
                guard let unit = ComputeUnit(rawValue: found) else {
                    let allowed = allCases.map(\.rawValue).joined(separator: ", ")
                    throw Failure.badBundle(
                        "\(manifest.id): requires.coreml.compute_unit: found '\(found)', allowed: "
                            + allowed)
                }
                return unit
            }
            return simulator ? .cpuOnly : requested ?? built ?? .cpuAndNeuralEngine
        }
    }
}
