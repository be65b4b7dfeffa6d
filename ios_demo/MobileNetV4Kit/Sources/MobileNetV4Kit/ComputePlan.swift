@preconcurrency import CoreML
import Foundation

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
        let operations = main.block.operations.filter {
            OperatorPlan.isComputed($0.operatorName)
        }
        return operations.enumerated().map { i, operation in
            let usage = plan.deviceUsage(for: operation)
            return OperatorPlan(
                id: i, kind: operation.operatorName,
                name: operation.outputs.first?.name ?? "",
                unit: (usage?.preferred).flatMap(Self.unit),
                supported: usage?.supported.compactMap(Self.unit) ?? [],
                cost: plan.estimatedCost(of: operation)?.weight)
        }
    }

    @available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
    private static func unit(_ device: MLComputeDevice) -> Plan.Unit? {
        switch device {
        case .cpu: return .cpu
        case .gpu: return .gpu
        case .neuralEngine: return .npu
        @unknown default: return nil
        }
    }
}
