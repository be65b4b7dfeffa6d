extension MobileNetV4 {
    /// Core ML's plan for one operator before it runs: which unit will compute it.
    public struct OperatorPlan: Codable, Sendable, Equatable, Identifiable {
        /// The operator's place in the program.
        public let id: Int
        /// Core ML's name for the kind of operator, as in `ios16.conv`.
        public let kind: String
        /// The name of the operator's first output.
        public let name: String
        /// The unit that will compute it; nil if Core ML gives none.
        public let unit: Plan.Unit?
        /// All units that could compute it.
        public let supported: [Plan.Unit]
        /// The share of the program's estimated time, from 0 to 1; nil if Core ML gives none.
        public let cost: Double?

        /// Makes a plan, for example for the preview of a view.
        public init(
            id: Int, kind: String, name: String, unit: Plan.Unit?, supported: [Plan.Unit],
            cost: Double?
        ) {
            self.id = id
            self.kind = kind
            self.name = name
            self.unit = unit
            self.supported = supported
            self.cost = cost
        }

        /// Tells whether operators of a kind are computed in each run. Constants are not, nor are
        /// weights, which `constexpr` operators decompress while Core ML loads the program.
        package static func isComputed(_ kind: String) -> Bool {
            let kind = kind.split(separator: ".").last ?? ""
            return kind != "const" && !kind.hasPrefix("constexpr_")
        }
    }
}
