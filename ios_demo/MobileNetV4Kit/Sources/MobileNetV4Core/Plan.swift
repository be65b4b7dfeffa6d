import Foundation

extension MobileNetV4 {
    /// The thermal state of a device, in Apple's four levels.
    public enum ThermalStatus: String, Encodable, Sendable, CaseIterable, Comparable {
        /// The device is cool.
        case nominal
        /// The device is slightly warm.
        case fair
        /// The device is hot, and the system slows down.
        case serious
        /// The device is so hot that the system slows down as far as it can.
        case critical

        /// Orders cooler before warmer.
        public static func < (a: ThermalStatus, b: ThermalStatus) -> Bool { a.level < b.level }

        private var level: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    }

    /// How an artifact is measured; the generator's `plan.schema.json` specifies the JSON form.
    public struct Plan: Sendable, Equatable {
        /// The schema that this version reads.
        public static let schema = 1

        /// A part of the chip.
        public enum Unit: String, Codable, Sendable, CaseIterable {
            /// The CPU.
            case cpu
            /// The GPU.
            case gpu
            /// The Neural Engine.
            case npu
        }

        /// The statistic of a session's samples that is shown first.
        public enum Statistic: String, Sendable, CaseIterable {
            /// The median.
            case p50
            /// The 90th percentile.
            case p90
            /// The mean.
            case mean
        }

        /// The number of untimed runs after the first inference.
        public var warmup = 10
        /// The least number of timed runs.
        public var runs = 50
        /// The least time of the timed runs in seconds, even if that takes more runs.
        public var seconds = 2.0
        /// The number of sessions, each in a fresh process.
        public var repeats = 1
        /// The pause in seconds before every session but the first one.
        public var cooldownSeconds = 0.0
        /// A session begins only at this thermal status or a better one.
        public var maxThermal = ThermalStatus.nominal
        /// The number of runtime threads; Core ML and Core AI choose their own.
        public var threads = 1
        /// `none`, `fastest`, or numbers of cores; iOS cannot pin, so only `none` is supported.
        public var affinity = "none"
        /// The unit that runs the artifact; nil is the one that the artifact asks for.
        public var unit: Unit?
        /// The statistic of the samples that is shown first.
        public var statistic = Statistic.p50

        /// Makes a plan for one session of the preset `quick` of `mnv4 measure`.
        public init() {}

        /// Makes a plan from its JSON form.
        ///
        /// - Throws: ``Failure/badPlan(_:)`` if a key is unknown or missing, or a value is not
        ///   supported.
        public init(json: Data) throws {
            do {
                self = try JSON(json).record(Plan.init)
            } catch let error as JSONError {
                throw Failure.badPlan("plan: \(error.message)")
            }
        }

        private static let seconds = 0...1e6

        init(_ entries: JSONEntries) throws {
            try entries.schema(Self.schema)
            warmup = try entries["warmup"].integer(0...JSON.mostInt32)
            runs = try entries["runs"].integer()
            seconds = try entries["seconds"].number(Self.seconds)
            repeats = try entries["repeats"].integer(1...10_000)
            cooldownSeconds = try entries["cooldown_s"].number(Self.seconds)
            maxThermal = try entries["max_thermal"].oneOf(ThermalStatus.self)
            threads = try entries["threads"].integer(1...1024)
            affinity = try entries["affinity"].text(
                "none, fastest, or numbers of cores as in 4,5"
            ) { text in
                ["none", "fastest"].contains { text.elementsEqual($0.utf8) }
                    || text.parts(",").allSatisfy {
                        (1...4).contains($0.count) && $0.allSatisfy(\.isDigit)
                    }
            }
            unit = try entries["unit"].orNil { try $0.oneOf(Unit.self) }
            statistic = try entries["statistic"].oneOf(Statistic.self)
        }
    }
}
