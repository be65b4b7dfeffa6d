import Foundation
import MobileNetV4Core

/// A benchmark's results, as a file that says by itself what was measured, on what, and how.
struct Report: Encodable {
    /// What was measured, and on what.
    struct Subject: Encodable {
        /// The model's id in this app.
        let model: String
        /// The network's name.
        let network: String
        /// The recipe that it was built with, which says its precision.
        let recipe: String
        /// The shape of its input.
        let input: [Int]
        /// The SHA-256 of the artifact, by which the generator finds the bundle.
        let artifactSha256: String
        /// The maker's name for the device, as in `iPhone16,1`.
        var device = MobileNetV4.machine
        /// The system with its version and build.
        var system = ProcessInfo.processInfo.operatingSystemVersionString
    }

    /// How often each session runs the network.
    struct Runs: Encodable {
        let warmup: Int
        let leastTimed: Int
        let leastSeconds: Double
    }

    /// One session.
    struct Session: Encodable {
        /// The unit that was asked for; nil for what the bundle asks for.
        let unit: MobileNetV4.Plan.Unit?
        /// How it ended. Its samples say which units ran the model (`ran_on`).
        let result: MobileNetV4.JobResult

        /// The units that ran any operator; none if the runtime does not say.
        var ranOn: [MobileNetV4.Plan.Unit] { result.samples?.ranOn ?? [] }

        /// Whether the unit that was asked for did not run all of it: the doubt `fallback` of
        /// `mnv4 results`.
        var isFallback: Bool { unit.map { !ranOn.isEmpty && ranOn != [$0] } ?? false }

        enum CodingKeys: CodingKey {
            case unit, result
        }

        /// Writes null for what the bundle asks for.
        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(unit, forKey: .unit)
            try values.encode(result, forKey: .result)
        }
    }

    let subject: Subject
    let begun: Date
    let runs: Runs
    /// The sessions that ended.
    var sessions: [Session] = []
    /// What Core ML says of the operators; empty before iOS 17.4.
    var operators: [MobileNetV4.OperatorPlan] = []

    /// Returns the file's content.
    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.dateEncodingStrategy = .iso8601
        return try encoder.encode(self)
    }
}

extension Report {
    /// Begins the report of a model.
    init(_ model: MobileNetV4.Model, plan: MobileNetV4.Plan) throws {
        let manifest = try MobileNetV4.ModelBundle(folder: model.folder).manifest
        subject = Subject(
            model: model.id, network: manifest.model.name, recipe: manifest.recipe,
            input: manifest.input.shape, artifactSha256: manifest.artifact.sha256)
        begun = Date()
        runs = Runs(warmup: plan.warmup, leastTimed: plan.runs, leastSeconds: plan.seconds)
    }
}
