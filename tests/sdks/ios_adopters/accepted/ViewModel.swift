import CoreImage
import MobileNetV4ModelsMain
import SwiftUI

/// Opens a network once and classifies images for a screen.
@MainActor
final class ViewModel: ObservableObject {
    @Published private(set) var top: [MobileNetV4.Classification] = []
    @Published private(set) var failure: String?
    private var network: MobileNetV4?
    private var filtered = CIImage.empty()

    func classify(_ data: Data) async {
        do {
            let network = try await opened()
            top = try await network.classify(data, top: 3)
        } catch {
            failure = error.localizedDescription
        }
    }

    func classify(_ image: CGImage) {
        Task {
            top = try await opened().classify(image)
        }
    }

    /// Keeps its image: Core Image's may be shared, although they are not Sendable.
    func classifyFiltered() async throws {
        top = try await opened().classify(filtered, orientation: .right)
    }

    private func opened() async throws -> MobileNetV4 {
        if let network { return network }
        let opened = try await MobileNetV4(
            MainModels.convSmall035_96x96Fp16Coreml, units: .only(.cpuOnly))
        network = opened
        return opened
    }
}
