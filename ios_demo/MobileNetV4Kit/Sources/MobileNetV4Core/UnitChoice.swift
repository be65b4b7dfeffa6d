import Foundation

extension MobileNetV4 {
    /// The units that run a network which was opened with ``Units/auto``, and why the others do not.
    ///
    /// On the first opening, all units run the golden pair and then 20 more images. Those with wrong
    /// outputs are dropped, and those that give an image other outputs when it runs again, fail, hang
    /// or end the app. Of the others the fastest are chosen. The choice is remembered for this model
    /// of device, this build of the system, this artifact and this input size, and made again for any
    /// other.
    public struct UnitChoice: Codable, Sendable, Equatable {
        /// What was found out about units.
        public enum Verdict: String, Codable, Sendable, CaseIterable {
            /// They are right, and take the least time.
            case fastest
            /// They are right, and others take less time.
            case slower
            /// An output missed the golden pair's gate.
            case wrong
            /// An image gave other outputs when it ran again.
            case flaky
            /// The device does not have them, the runtime would use the CPU alone, or it failed.
            case failed
            /// They gave no result in time.
            case hung
            /// The app ended while it tried them, twice.
            case crashed
        }

        /// What was found out about units.
        public struct Finding: Codable, Sendable, Equatable {
            /// The units.
            public let unit: ComputeUnit
            /// The outcome.
            public let verdict: Verdict
            /// The reason, in English.
            public let reason: String
            /// The median latency in milliseconds; nil unless all outputs were right.
            public let medianMs: Double?

            /// Makes a finding, for example for the preview of a view.
            public init(
                _ unit: ComputeUnit, _ verdict: Verdict, reason: String, medianMs: Double? = nil
            ) {
                self.unit = unit
                self.verdict = verdict
                self.reason = reason
                self.medianMs = medianMs
            }
        }

        /// The units that run the network.
        public let unit: ComputeUnit
        /// What was found out about all units, in the order in which they were tried.
        public let findings: [Finding]

        /// Makes a choice, for example for the preview of a view.
        public init(unit: ComputeUnit, findings: [Finding]) {
            self.unit = unit
            self.findings = findings
        }
    }
}

extension MobileNetV4.UnitChoice {
    /// Chooses the fastest units of those that were right; nil if none were.
    init?(among tried: [Finding]) {
        let right = tried.compactMap { one in one.medianMs.map { (unit: one.unit, ms: $0) } }
        guard let best = right.min(by: { $0.ms < $1.ms }) else { return nil }
        unit = best.unit
        findings = tried.map { one in
            guard let ms = one.medianMs else { return one }
            if one.unit == best.unit {
                let why = "right: takes \(Self.text(ms))"
                return Finding(one.unit, .fastest, reason: why, medianMs: ms)
            }
            let why = "slower: takes \(Self.text(ms)), \(best.unit.rawValue) \(Self.text(best.ms))"
            return Finding(one.unit, .slower, reason: why, medianMs: ms)
        }
    }

    private static func text(_ ms: Double) -> String { String(format: "%.2f ms", ms) }

    /// Whether it says why its units were chosen; a damaged file may say anything.
    var isComplete: Bool {
        findings.filter { $0.verdict == .fastest }.map(\.unit) == [unit]
            && Set(findings.map(\.unit)) == Set(MobileNetV4.ComputeUnit.allCases)
    }
}

extension MobileNetV4.UnitChoice: CustomStringConvertible {
    /// One line for all units, those that run the network first.
    public var description: String {
        let first = findings.filter { $0.unit == unit }
        return (first + findings.filter { $0.unit != unit })
            .map(\.description).joined(separator: "\n")
    }
}

extension MobileNetV4.UnitChoice.Finding: CustomStringConvertible {
    /// The units, and why they run the network or do not.
    public var description: String { "\(unit.rawValue): \(reason)" }
}
