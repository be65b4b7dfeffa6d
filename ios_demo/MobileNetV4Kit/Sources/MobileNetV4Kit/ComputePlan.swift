@preconcurrency import CoreML
import Foundation

extension MobileNetV4 {
    /// Core ML's plan for one operator before it runs: which part of the chip will compute it.
    public struct OperatorPlan: Codable, Sendable, Equatable, Identifiable {
        /// The operator's place in the program.
        public let id: Int
        /// Core ML's name for the kind of operator, as in `ios16.conv`.
        public let kind: String
        /// The name of the operator's first output.
        public let name: String
        /// The part that will compute it: `cpu`, `gpu` or `neural engine`; nil if Core ML gives none.
        public let device: String?
        /// All parts of the chip that could compute it.
        public let supported: [String]
        /// The share of the program's estimated time, from 0 to 1; nil if Core ML gives none.
        public let cost: Double?
    }
}

extension MobileNetV4 {
    /// Returns the operators of a bundle and what will compute them, in program order.
    ///
    /// - Parameters:
    ///   - folder: The bundle's folder.
    ///   - computeUnit: The units that Core ML may use; nil for those of the bundle.
    /// - Throws: ``Failure`` if the bundle cannot be used or Core ML fails.
    @available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
    public static func operators(
        folder: URL, computeUnit: ComputeUnit? = nil
    ) async throws -> [OperatorPlan] {
        let loader = try CoreMLLoader(folder, computeUnit: computeUnit)
        let url = try await loader.compiled.url()
        let configuration = MLModelConfiguration()
        configuration.computeUnits = loader.unit.units
        let plan: MLComputePlan
        do {
            plan = try await MLComputePlan.load(
                contentsOf: url, configuration: configuration)
        } catch {
            throw Failure.runtimeFailed(
                "\(loader.bundle.manifest.id): Core ML has no plan: \(error.localizedDescription)")
        }
        guard case .program(let program) = plan.modelStructure,
            let main = program.functions["main"]
        else { throw Failure.badBundle("\(loader.bundle.manifest.id): is not an ML program") }
        // Constants are not computed.
        // Constants, and weights that are expanded while loading, are not computed by any unit.
        let operations = main.block.operations.filter {
            $0.operatorName != "const" && !$0.operatorName.contains("constexpr_")
        }
        return operations.enumerated().map { i, operation in
            let usage = plan.deviceUsage(for: operation)
            return OperatorPlan(
                id: i, kind: operation.operatorName,
                name: operation.outputs.first?.name ?? "",
                device: usage.map { Self.name($0.preferred) },
                supported: usage?.supported.map(Self.name) ?? [],
                cost: plan.estimatedCost(of: operation)?.weight)
        }
    }

    @available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
    private static func name(_ device: MLComputeDevice) -> String {
        switch device {
        case .cpu: return "cpu"
        case .gpu: return "gpu"
        case .neuralEngine: return "neural engine"
        @unknown default: return "unknown"
        }
    }
}
