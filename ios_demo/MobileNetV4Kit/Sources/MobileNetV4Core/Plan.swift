import Foundation

/// How warm a device is; Apple's four levels.
public enum ThermalStatus: String, Codable, Sendable, CaseIterable, Comparable {
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

/// The parts of the chip that Core ML may use.
public enum ComputeUnit: String, Codable, Sendable, CaseIterable {
    /// All of them.
    case all
    /// The CPU and the Neural Engine.
    case cpuAndNeuralEngine = "cpu_and_ne"
    /// The CPU and the GPU.
    case cpuAndGPU = "cpu_and_gpu"
    /// The CPU.
    case cpuOnly = "cpu_only"
}

/// How an artifact is measured; the generator's `plan.schema.json` is the norm.
public struct Plan: Codable, Sendable, Equatable {
    /// The schema that this version reads.
    public static let schema = 1

    /// What of a session's samples is shown first.
    public enum Statistic: String, Codable, Sendable {
        /// The median.
        case p50
        /// The 90th percentile.
        case p90
        /// The mean.
        case mean
    }

    /// Runs that are not timed, behind the first inference.
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
    /// Of the runtime; Core ML chooses its own.
    public var threads = 1
    /// `none`, `fastest`, or numbers of cores; iOS pins none, so only `none` is followed.
    public var affinity = "none"
    /// Of Core ML.
    public var computeUnit = ComputeUnit.all
    /// Of the samples.
    public var statistic = Statistic.p50
    private var schema = Plan.schema

    /// One session of the plan that `mnv4 measure` calls `quick`.
    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable {
        case schema, warmup, runs, seconds, repeats
        case cooldownSeconds = "cooldown_s"
        case maxThermal = "max_thermal"
        case threads, affinity
        case computeUnit = "compute_unit"
        case statistic
    }

    /// A plan from its JSON form.
    ///
    /// - Throws: ``MNV4Error/badPlan(_:)``: an unknown or missing key, or a value that cannot be
    ///   followed.
    public init(json: Data) throws {
        do {
            self = try JSONDecoder().decode(Plan.self, from: json)
        } catch let error as DecodingError {
            throw MNV4Error.badPlan("plan: \(error.summary)")
        }
    }

    /// See ``init(json:)``.
    public init(from decoder: any Decoder) throws {
        let known = CodingKeys.allCases.map(\.stringValue)
        for key in try decoder.container(keyedBy: AnyKey.self).allKeys
        where !known.contains(key.stringValue) {
            throw MNV4Error.badPlan(
                "plan: \(key.stringValue): unknown key, allowed: \(known.joined(separator: ", "))")
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        schema = try values.decode(Int.self, forKey: .schema)
        guard schema == Self.schema else {
            throw MNV4Error.badPlan(
                "plan: schema: found \(schema), this version reads \(Self.schema)")
        }
        warmup = try values.decode(Int.self, forKey: .warmup)
        runs = try values.decode(Int.self, forKey: .runs)
        seconds = try values.decode(Double.self, forKey: .seconds)
        repeats = try values.decode(Int.self, forKey: .repeats)
        cooldownSeconds = try values.decode(Double.self, forKey: .cooldownSeconds)
        maxThermal = try values.decode(ThermalStatus.self, forKey: .maxThermal)
        threads = try values.decode(Int.self, forKey: .threads)
        affinity = try values.decode(String.self, forKey: .affinity)
        computeUnit = try values.decode(ComputeUnit.self, forKey: .computeUnit)
        statistic = try values.decode(Statistic.self, forKey: .statistic)
        let least: [(CodingKeys, Double, Double)] = [
            (.warmup, Double(warmup), 0), (.runs, Double(runs), 1), (.seconds, seconds, 0),
            (.repeats, Double(repeats), 1), (.cooldownSeconds, cooldownSeconds, 0),
            (.threads, Double(threads), 1),
        ]
        for (key, found, least) in least where !(found >= least) {
            throw MNV4Error.badPlan(
                "plan: \(key.stringValue): found \(found), must be \(least) or more")
        }
    }
}

/// Any key of a JSON object.
struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) {
        self.stringValue = stringValue
    }

    init?(intValue: Int) { nil }
}
