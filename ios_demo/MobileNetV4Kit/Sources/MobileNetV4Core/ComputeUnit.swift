extension MobileNetV4 {
    /// The parts of the chip that a runtime may use.
    ///
    /// Core ML uses no others. Core AI prefers the one that is named beside the CPU, and computes what
    /// that one cannot on any other; only ``cpuOnly`` excludes the others.
    public enum ComputeUnit: String, Codable, Sendable, CaseIterable {
        /// All units. Some devices crash while they load a network for all units.
        case all
        /// The CPU and the Neural Engine.
        case cpuAndNeuralEngine = "cpu_and_ne"
        /// The CPU and the GPU.
        case cpuAndGPU = "cpu_and_gpu"
        /// The CPU.
        case cpuOnly = "cpu_only"

        /// Returns the parts for one unit; the runtimes always have the CPU for the rest.
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
            let key = "\(manifest.target).compute_unit"
            let built = try manifest.requires[key].map { found in
                let names = names(for: manifest.target)
                guard let unit = names.first(where: { $0.name == found })?.unit else {
                    let allowed = names.map(\.name).joined(separator: ", ")
                    throw Failure.badBundle(
                        "\(manifest.id): requires.\(key): found '\(found)', allowed: \(allowed)")
                }
                return unit
            }
            return simulator ? .cpuOnly : requested ?? built ?? .cpuAndNeuralEngine
        }

        /// Returns the units' names in manifests.
        private static func names(for target: String) -> [(name: String, unit: ComputeUnit)] {
            guard target == "coreai" else { return allCases.map { ($0.rawValue, $0) } }
            return [
                ("neural_engine", .cpuAndNeuralEngine), ("gpu", .cpuAndGPU), ("cpu", .cpuOnly),
            ]
        }
    }
}
