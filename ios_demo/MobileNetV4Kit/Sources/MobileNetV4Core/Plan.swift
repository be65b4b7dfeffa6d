import Foundation

/// How warm a device is; Apple's four levels.
public enum ThermalStatus: String, Encodable, Sendable, CaseIterable, Comparable {
    /// Cool.
    case nominal
    /// Slightly warm.
    case fair
    /// Hot: the system slows down.
    case serious
    /// So hot that the system slows down as far as it can.
    case critical

    /// Cooler before warmer.
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

    /// What of a session's samples is shown first.
    public enum Statistic: String, Sendable, CaseIterable {
        /// The median.
        case p50
        /// The 90th percentile.
        case p90
        /// The mean.
        case mean
    }

    /// Runs after the first inference that are not timed.
    public var warmup = 10
    /// Timed runs at least.
    public var runs = 50
    /// Timed at least, even if that takes more runs.
    public var seconds = 2.0
    /// Sessions: fresh processes.
    public var repeats = 1
    /// Before every session but the first one.
    public var cooldownSeconds = 0.0
    /// A session begins only at this thermal status or a better one.
    public var maxThermal = ThermalStatus.nominal
    /// Number of runtime threads; Core ML chooses its own.
    public var threads = 1
    /// `none`, `fastest`, or numbers of cores; iOS pins none, so only `none` is followed.
    public var affinity = "none"
    /// What runs the artifact; nil leaves it to what the artifact asks for.
    public var unit: Unit?
    /// The statistic of the samples that is shown first.
    public var statistic = Statistic.p50

    /// One session of the plan that `mnv4 measure` calls `quick`.
    public init() {}

    /// A plan from its JSON form.
    ///
    /// - Throws: ``MNV4Error/badPlan(_:)``: an unknown or missing key, or a value that cannot be
    ///   followed.
    public init(json: Data) throws {
        do {
            self = try JSON(json).record(Plan.init)
        } catch let error as JSONError {
            throw MNV4Error.badPlan("plan: \(error.message)")
        }
    }

    init(_ entries: JSONEntries) throws {
        try entries.schema(Self.schema)
        warmup = try entries["warmup"].integer(0...JSON.mostInt32)
        runs = try entries["runs"].integer()
        seconds = try entries["seconds"].number(JSON.notNegative)
        repeats = try entries["repeats"].integer()
        cooldownSeconds = try entries["cooldown_s"].number(JSON.notNegative)
        maxThermal = try entries["max_thermal"].oneOf(ThermalStatus.self)
        threads = try entries["threads"].integer()
        affinity = try entries["affinity"].text(
            /none|fastest|[0-9]+(?:,[0-9]+)*/, "none, fastest, or numbers of cores as in 4,5")
        unit = try entries["unit"].orNil { try $0.oneOf(Unit.self) }
        statistic = try entries["statistic"].oneOf(Statistic.self)
    }
}
