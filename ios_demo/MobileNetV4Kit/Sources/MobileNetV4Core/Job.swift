import Foundation

/// What `mnv4 measure` asks for; the generator's `measure/app.py` is the norm.
public struct Job: Sendable {
    /// The schema that this version reads.
    public static let schema = 1

    /// By which its result is known.
    public let id: String
    /// The bundle's folder.
    public let bundle: URL
    /// How to measure it.
    public let plan: Plan

    /// A job of these parts.
    public init(id: String, bundle: URL, plan: Plan) {
        self.id = id
        self.bundle = bundle
        self.plan = plan
    }

    private struct File: Decodable {
        let schema: Int
        let id: String
        let bundle: String
        let plan: Plan
    }

    /// Reads `mnv4/job/job.json` of a folder: an app's documents.
    ///
    /// - Throws: ``MNV4Error/badPlan(_:)``: there is none, or one that cannot be followed.
    public static func read(_ files: URL) throws -> Job {
        let folder = files.appendingPathComponent("mnv4/job")
        guard let json = try? Data(contentsOf: folder.appendingPathComponent("job.json")) else {
            throw MNV4Error.badPlan("job.json: is not in \(folder.path)")
        }
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: json)
        } catch let error as DecodingError {
            throw MNV4Error.badPlan("job.json: \(error.summary)")
        }
        guard file.schema == schema else {
            throw MNV4Error.badPlan(
                "job.json: schema: found \(file.schema), this version reads \(schema)")
        }
        let name = file.bundle
        let allowed = { (c: Character) in
            c.isASCII && (c.isLetter || c.isNumber || c == "_" || c == "-")
        }
        guard !name.isEmpty, name.allSatisfy(allowed) else {
            throw MNV4Error.badPlan(
                "job.json: bundle: found '\(name)', must be a folder beside job.json")
        }
        return Job(id: file.id, bundle: folder.appendingPathComponent(name), plan: file.plan)
    }
}

/// What became of a job.
public struct JobResult: Encodable, Sendable {
    /// How it ended.
    public enum Status: String, Encodable, Sendable {
        /// It was measured.
        case ok
        /// An output missed the golden pair's gate, so nothing was timed.
        case wrong
        /// The error says why.
        case failed
    }

    /// The job's id.
    public let job: String
    /// How it ended.
    public let status: Status
    /// Of what is not ok.
    public let error: String?
    /// Of what is ok.
    public let samples: Samples?

    enum CodingKeys: CodingKey {
        case schema, job, status, error, samples
    }

    /// The result in its JSON form.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(Job.schema, forKey: .schema)
        try values.encode(job, forKey: .job)
        try values.encode(status, forKey: .status)
        try values.encode(error, forKey: .error)
        try values.encode(samples, forKey: .samples)
    }

    /// Writes `mnv4/result.json` of a folder, whole or not at all.
    ///
    /// - Throws: What the file system throws: no space is left, ...
    public func write(_ files: URL) throws {
        let file = files.appendingPathComponent("mnv4/result.json")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try JSONEncoder().encode(self).write(to: file, options: .atomic)
    }
}
