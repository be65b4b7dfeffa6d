extension MobileNetV4 {
    /// The thermal state of a device, as far as the device reports it.
    public struct Thermal: Encodable, Sendable, Equatable {
        /// The status; nil if the device does not report it.
        public var status: ThermalStatus?
        /// The temperature of the hottest sensor; iOS reports none.
        public var celsius: Double?

        /// Makes a state from these values.
        public init(status: ThermalStatus? = nil, celsius: Double? = nil) {
            self.status = status
            self.celsius = celsius
        }

        enum CodingKeys: CodingKey {
            case status, celsius
        }

        /// Writes null for what is missing, as the schema wants it.
        public func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(status, forKey: .status)
            try values.encode(celsius, forKey: .celsius)
        }
    }

    /// A condition that affects a session's figures: a number or a text.
    public enum Condition: Encodable, Sendable, Equatable {
        /// A number.
        case number(Double)
        /// A text.
        case text(String)

        /// Encodes the bare value.
        public func encode(to encoder: any Encoder) throws {
            var value = encoder.singleValueContainer()
            switch self {
            case .number(let number): try value.encode(number)
            case .text(let text): try value.encode(text)
            }
        }
    }

    /// The samples of one session, in milliseconds and MiB: `samples` of the generator's
    /// `measurement.schema.json`.
    public struct Samples: Encodable, Sendable, Equatable {
        /// The SQNR in dB of the worst output against the golden pair.
        public var goldenSqnrDb: Double
        /// The time of loading in a fresh process.
        public var loadColdMs: Double?
        /// The time of loading once more in the same process.
        public var loadWarmMs: Double?
        /// The time of the first inference in a fresh process.
        public var firstMs: Double?
        /// The latencies of the timed runs.
        public var latenciesMs: [Double]
        /// When each timed run began, counted from the first one.
        public var startsMs: [Double]
        /// The times from the pixels of a decoded image to the input.
        public var preprocessMs: [Double]
        /// The peak memory of the process until the first inference.
        public var peakRssMb: Double?
        /// The units that ran any operator; empty if the runtime does not say.
        public var ranOn: [Plan.Unit]
        /// The thermal state when the session began.
        public var thermalBefore: Thermal
        /// The thermal state when the session ended.
        public var thermalAfter: Thermal
        /// Versions; `runtime` has the name and version of the runtime.
        public var versions: [String: String]
        /// Other conditions that affect the figures.
        public var conditions: [String: Condition]

        enum CodingKeys: String, CodingKey {
            case goldenSqnrDb = "golden_sqnr_db"
            case loadColdMs = "load_cold_ms"
            case loadWarmMs = "load_warm_ms"
            case firstMs = "first_ms"
            case latenciesMs = "latencies_ms"
            case startsMs = "t_ms"
            case summary
            case preprocessMs = "preprocess_ms"
            case peakRssMb = "peak_rss_mb"
            case ranOn = "ran_on"
            case thermalBefore = "thermal_before"
            case thermalAfter = "thermal_after"
            case versions, conditions
        }
    }
}

extension MobileNetV4.Samples {
    /// Writes null for what is missing, as the schema wants it.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(goldenSqnrDb, forKey: .goldenSqnrDb)
        try values.encode(loadColdMs, forKey: .loadColdMs)
        try values.encode(loadWarmMs, forKey: .loadWarmMs)
        try values.encode(firstMs, forKey: .firstMs)
        try values.encode(latenciesMs, forKey: .latenciesMs)
        try values.encode(startsMs, forKey: .startsMs)
        try values.encodeNil(forKey: .summary)  // only programs of other projects give one
        try values.encode(preprocessMs, forKey: .preprocessMs)
        try values.encode(peakRssMb, forKey: .peakRssMb)
        try values.encode(ranOn, forKey: .ranOn)
        try values.encode(thermalBefore, forKey: .thermalBefore)
        try values.encode(thermalAfter, forKey: .thermalAfter)
        try values.encode(versions, forKey: .versions)
        try values.encode(conditions, forKey: .conditions)
    }
}
