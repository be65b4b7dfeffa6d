import Foundation

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
    /// What went wrong, unless the status is ok.
    public let error: String?
    /// What was measured, where the status is ok.
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
