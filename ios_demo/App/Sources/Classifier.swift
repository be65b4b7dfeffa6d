import MobileNetV4ModelsMain
import SwiftUI

/// What is chosen in the app, kept from launch to launch.
struct Choice: Hashable {
    var model: MobileNetV4.Model?
    var units: MobileNetV4.Units
}

extension MobileNetV4.Units {
    /// What people choose among.
    static let offered: [MobileNetV4.Units] =
        [.auto] + MobileNetV4.ComputeUnit.allCases.map { .only($0) }

    /// The name under which it is kept.
    var name: String {
        switch self {
        case .built: return "built"
        case .auto: return "auto"
        case .only(let unit): return unit.rawValue
        }
    }
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
            UserDefaults.standard.set(choice.units.name, forKey: "units")
        }
    }
    /// What is.
    @Published private(set) var state = State.loading

    init() {
        let id = UserDefaults.standard.string(forKey: "model")
        let units = UserDefaults.standard.string(forKey: "units")
        choice = Choice(
            model: MainModels.all.first { $0.id == id } ?? MainModels.all.first,
            units: MobileNetV4.Units.offered.first { $0.name == units }
                ?? .only(.cpuAndNeuralEngine))
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
            let network = try await MobileNetV4(model, units: choice.units)
            try await network.prewarm()
            // Another choice may have been made in the meantime, and is being opened.
            if choice == self.choice { state = .ready(network) }
        } catch {
            if choice == self.choice { state = .failed(error.localizedDescription) }
        }
    }
}
