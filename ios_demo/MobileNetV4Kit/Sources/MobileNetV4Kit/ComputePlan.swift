@preconcurrency import CoreML
import Foundation

extension MobileNetV4 {
    /// Returns the operators of a bundle and what will compute them, in program order.
    ///
    /// - Parameters:
    ///   - folder: The bundle's folder.
    ///   - computeUnit: The units that Core ML may use; nil for those of the bundle.
    ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default.
    /// - Throws: ``Failure`` if the bundle cannot be used or Core ML fails.
    @available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
    public static func operators(
        folder: URL, computeUnit: ComputeUnit? = nil, inputSize: InputSize? = nil
    ) async throws -> [OperatorPlan] {
        let bundle = try ModelBundle(folder: folder, inputSize: inputSize)
        return try await CoreMLLoader(bundle, computeUnit: computeUnit).operators()
    }
}

extension CoreMLLoader {
    /// Returns the units that compute any operator; none before iOS 17.4, which does not say.
    func ranOn() async -> [MobileNetV4.Plan.Unit] {
        guard #available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *) else { return [] }
        let used = Set(((try? await operators()) ?? []).compactMap(\.unit))
        return MobileNetV4.Plan.Unit.allCases.filter(used.contains)
    }

    /// Returns the operators and what will compute them, in program order.
    @available(iOS 17.4, macOS 14.4, tvOS 17.4, visionOS 1.1, *)
    fileprivate func operators() async throws -> [MobileNetV4.OperatorPlan] {
        let url = try await compiled.url()
        let configuration = try compiled.configuration(for: unit.units)
        let plan: MLComputePlan
        do {
            plan = try await MLComputePlan.load(
                contentsOf: url, configuration: configuration)
        } catch {
            throw MobileNetV4.Failure.runtimeFailed(
                "\(bundle.manifest.id): Core ML has no plan: \(error.localizedDescription)")
        }
        guard case .program(let program) = plan.modelStructure,
            let function = program.functions[compiled.function ?? "main"]
        else {
            throw MobileNetV4.Failure.badBundle("\(bundle.manifest.id): is not an ML program")
        }
        let operations = function.block.operations.filter {
            MobileNetV4.OperatorPlan.isComputed($0.operatorName)
        }
        return operations.enumerated().map { i, operation in
            let usage = plan.deviceUsage(for: operation)
            return MobileNetV4.OperatorPlan(
                id: i, kind: operation.operatorName,
                name: operation.outputs.first?.name ?? "",
                unit: (usage?.preferred).flatMap(MobileNetV4.Plan.Unit.init),
                supported: usage?.supported.compactMap(MobileNetV4.Plan.Unit.init) ?? [],
                cost: plan.estimatedCost(of: operation)?.weight)
        }
    }
}

extension MobileNetV4.Plan.Unit {
    /// Returns the unit for a device of Core ML; nil if it is of a kind that this version does not
    /// know.
    @available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *)
    init?(_ device: MLComputeDevice) {
        switch device {
        case .cpu: self = .cpu
        case .gpu: self = .gpu
        case .neuralEngine: self = .npu
        @unknown default: return nil
        }
    }
}
