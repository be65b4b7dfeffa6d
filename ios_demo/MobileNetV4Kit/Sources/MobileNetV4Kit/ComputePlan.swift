@preconcurrency import CoreML
import Foundation

/// What Core ML says of one operator before it runs: which part of the chip will compute it.
public struct OperatorPlan: Codable, Sendable, Equatable, Identifiable {
    /// Its place in the program.
    public let id: Int
    /// The kind as Core ML calls it: `ios16.conv`.
    public let kind: String
    /// The name of its first output.
    public let name: String
    /// `cpu`, `gpu` or `neural engine`; nil where Core ML does not say.
    public let device: String?
    /// All that could compute it.
    public let supported: [String]
    /// Share of the whole program's estimated time, in 0..1; nil where Core ML does not say.
    public let cost: Double?
}

extension MobileNetV4 {
    /// The operators of a bundle and what will compute them, in the order of the program.
    ///
    /// - Parameters:
    ///   - folder: The bundle's.
    ///   - computeUnit: What Core ML may use; nil is what the bundle was built for.
    /// - Throws: ``MNV4Error``: what is wrong with the bundle, or what Core ML says.
    @available(iOS 17.4, macOS 14.4, *)
    public static func operators(
        folder: URL, computeUnit: ComputeUnit? = nil
    ) async throws -> [OperatorPlan] {
        let bundle = try ModelBundle(folder: folder)
        try bundle.check(target: "coreml")
        try bundle.checkArtifact()
        let loader = try CoreMLLoader(bundle, computeUnit: computeUnit)
        let url = try await CompiledModel(of: bundle).url()
        let plan: MLComputePlan
        do {
            plan = try await MLComputePlan.load(
                contentsOf: url, configuration: loader.configuration)
        } catch {
            throw MNV4Error.runtimeFailed(
                "\(bundle.manifest.id): Core ML has no plan: \(error.localizedDescription)")
        }
        guard case .program(let program) = plan.modelStructure,
            let main = program.functions["main"]
        else { throw MNV4Error.badBundle("\(bundle.manifest.id): is no ML program") }
        // Constants are computed by nobody.
        let operations = main.block.operations.filter { $0.operatorName != "const" }
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

    @available(iOS 17.4, macOS 14.4, *)
    private static func name(_ device: MLComputeDevice) -> String {
        switch device {
        case .cpu: return "cpu"
        case .gpu: return "gpu"
        case .neuralEngine: return "neural engine"
        @unknown default: return "unknown"
        }
    }
}
