import MobileNetV4ModelsMain
import SwiftUI

/// What is chosen in the app, kept from launch to launch.
struct Choice: Hashable {
    var model: MobileNetV4.Model?
    /// The units; nil for the automatic choice.
    var computeUnit: MobileNetV4.ComputeUnit?
}

/// The network that is open, for all screens.
@MainActor
final class Classifier: ObservableObject {
    /// What the network is doing.
    enum State {
        case loading
        case ready(MobileNetV4)
        case failed(String)
    }

    /// What is to be open.
    @Published var choice: Choice {
        didSet {
            UserDefaults.standard.set(choice.model?.id, forKey: "model")
            UserDefaults.standard.set(
                choice.computeUnit?.rawValue ?? "", forKey: "computeUnit")
        }
    }
    /// What is.
    @Published private(set) var state = State.loading

    init() {
        let id = UserDefaults.standard.string(forKey: "model")
        let unit = UserDefaults.standard.string(forKey: "computeUnit")
        choice = Choice(
            model: MainModels.all.first { $0.id == id } ?? MainModels.all.first,
            computeUnit: unit.map { MobileNetV4.ComputeUnit(rawValue: $0) }
                ?? .cpuAndNeuralEngine)
    }

    /// The network, if it is ready.
    var network: MobileNetV4? {
        if case .ready(let network) = state { return network }
        return nil
    }

    /// Opens what is chosen.
    func open() async {
        let choice = choice
        guard let model = choice.model else {
            state = .failed(
                String(localized: "There is no model in this app: write one with mnv4 sdk ios."))
            return
        }
        state = .loading
        do {
            let units = choice.computeUnit.map { MobileNetV4.Units.only($0) } ?? .auto
            let network = try await MobileNetV4(model, units: units)
            try await network.prewarm()
            // Another choice may have been made in the meantime, and is being opened.
            if choice == self.choice { state = .ready(network) }
        } catch {
            if choice == self.choice { state = .failed(error.localizedDescription) }
        }
    }
}
