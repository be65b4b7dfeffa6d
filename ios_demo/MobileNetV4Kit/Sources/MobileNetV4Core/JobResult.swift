import Foundation

extension MobileNetV4 {
    /// The result of a job.
    public struct JobResult: Encodable, Sendable {
        /// How a job ended.
        public enum Status: String, Encodable, Sendable {
            /// It was measured.
            case ok
            /// An output missed the golden pair's gate, so nothing was timed.
            case wrong
            /// The job failed; the error says why.
            case failed
        }

        /// The job's id.
        public let job: String
        /// How the job ended.
        public let status: Status
        /// The error; nil if the status is ok.
        public let error: String?
        /// The samples; nil unless the status is ok.
        public let samples: Samples?

        enum CodingKeys: CodingKey {
            case schema, job, status, error, samples
        }

        /// Encodes the result in its JSON form.
        public func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(Job.schema, forKey: .schema)
            try values.encode(job, forKey: .job)
            try values.encode(status, forKey: .status)
            try values.encode(error, forKey: .error)
            try values.encode(samples, forKey: .samples)
        }

        /// Writes `mnv4/result.json` in a folder, whole or not at all.
        ///
        /// - Throws: An error of the file system, for example because no space is left.
        public func write(_ files: URL) throws {
            let file = files.appendingPathComponent("mnv4/result.json")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try JSONEncoder().encode(self).write(to: file, options: .atomic)
        }
    }
}
