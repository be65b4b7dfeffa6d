import Foundation

extension MobileNetV4 {
    /// A request of `mnv4 measure`: one session of one bundle.
    public struct Job: Sendable {
        /// The schema that this version reads.
        public static let schema = 1

        /// The id, which the result repeats.
        public let id: String
        /// The bundle's folder.
        public let bundle: URL
        /// How to measure it.
        public let plan: Plan

        /// Makes a job from its parts.
        public init(id: String, bundle: URL, plan: Plan) {
            self.id = id
            self.bundle = bundle
            self.plan = plan
        }

        /// Reads `mnv4/job/job.json` in a folder, which is an app's documents.
        ///
        /// - Throws: ``Failure/badPlan(_:)`` if there is none, or it is not valid or not supported.
        public static func read(_ files: URL) throws -> Job {
            let folder = files.appendingPathComponent("mnv4/job")
            guard let json = try? Data(contentsOf: folder.appendingPathComponent("job.json")) else {
                throw Failure.badPlan("job.json: is not in \(folder.path)")
            }
            return try Job(json: json, in: folder)
        }

        /// Makes a job from its JSON form.
        ///
        /// - Parameters:
        ///   - json: The content of `job.json`.
        ///   - folder: The folder that contains it and the bundle.
        /// - Throws: ``Failure/badPlan(_:)`` if it is not valid or not supported.
        public init(json: Data, in folder: URL) throws {
            do {
                self = try JSON(json).record { entries in
                    try entries.schema(Self.schema)
                    return Job(
                        id: try entries["id"].text("a UUID in lower case") {
                            let parts = $0.parts("-")
                            return parts.map(\.count) == [8, 4, 4, 4, 12]
                                && parts.allSatisfy { $0.allSatisfy(\.isHexadecimal) }
                        },
                        bundle: folder.appendingPathComponent(try entries["bundle"].bundleID()),
                        plan: try entries["plan"].record(Plan.init))
                }
            } catch let error as JSONError {
                throw Failure.badPlan("job.json: \(error.message)")
            }
        }
    }
}
