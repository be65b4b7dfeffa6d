import MobileNetV4Kit

extension MobileNetV4.ThermalStatus? {
    /// The state in words that people use.
    var title: String {
        switch self {
        case .nominal: return String(localized: "Cool")
        case .fair: return String(localized: "Warm")
        case .serious: return String(localized: "Hot")
        case .critical: return String(localized: "Too hot")
        case nil: return String(localized: "Unknown")
        }
    }
}

extension MobileNetV4.ComputeUnit {
    /// The title that people read.
    var title: String {
        switch self {
        case .all: return String(localized: "All")
        case .cpuAndNeuralEngine: return String(localized: "CPU and Neural Engine")
        case .cpuAndGPU: return String(localized: "CPU and GPU")
        case .cpuOnly: return String(localized: "CPU")
        }
    }
}

extension MobileNetV4.UnitChoice.Verdict {
    /// The title that people read.
    var title: String {
        switch self {
        case .fastest: return String(localized: "Fastest")
        case .slower: return String(localized: "Slower")
        case .wrong: return String(localized: "Wrong outputs")
        case .flaky: return String(localized: "Outputs that change")
        case .failed: return String(localized: "Failed")
        case .hung: return String(localized: "No result in time")
        case .crashed: return String(localized: "Ends the app")
        }
    }
}

extension MobileNetV4.Plan.Unit {
    /// The title that people read.
    var title: String {
        switch self {
        case .cpu: return String(localized: "CPU")
        case .gpu: return String(localized: "GPU")
        case .npu: return String(localized: "Neural Engine")
        }
    }
}

extension [MobileNetV4.Plan.Unit] {
    /// The titles of all that ran a model.
    var title: String {
        isEmpty ? String(localized: "Unknown") : map(\.title).formatted(.list(type: .and))
    }
}

extension Double {
    /// These milliseconds, with one digit after the point.
    var milliseconds: String { String(localized: "\(oneDigit) ms") }

    /// These decibels, with one digit after the point.
    var decibels: String { String(localized: "\(oneDigit) dB") }

    private var oneDigit: String { formatted(.number.precision(.fractionLength(1))) }
}
