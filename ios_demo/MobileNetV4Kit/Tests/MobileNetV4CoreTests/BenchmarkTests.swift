import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests whole sessions, with a stand-in for the runtime.
struct BenchmarkTests {
    /// A device that reports the given thermal states in turn.
    final class TestDevice: MobileNetV4.Device, @unchecked Sendable {
        private let lock = NSLock()
        private var states: [MobileNetV4.ThermalStatus]

        init(_ states: [MobileNetV4.ThermalStatus] = [.nominal]) {
            self.states = states
        }

        func thermal() -> MobileNetV4.Thermal {
            lock.withLock {
                MobileNetV4.Thermal(status: states.count > 1 ? states.removeFirst() : states[0])
            }
        }

        func conditions() async -> [String: MobileNetV4.Condition] {
            ["battery_percent": .number(87), "low_power": .text("off")]
        }

        func peakRssMb() -> Double? { 12.5 }
    }

    /// The lines that the benchmark reported.
    final class Said: @unchecked Sendable {
        private let lock = NSLock()
        private var lines: [String] = []
        func say(_ line: String) { lock.withLock { lines.append(line) } }
        var text: String { lock.withLock { lines.joined(separator: "\n") } }
    }

    private func run(
        _ documents: URL, results: URL, device: TestDevice = TestDevice()
    ) async throws -> ([String: Any], String) {
        let said = Said()
        let benchmark = MobileNetV4.Benchmark(
            device: device,
            open: { folder, _ in
                let bundle = try MobileNetV4.ModelBundle(folder: folder)
                try bundle.checkArtifact()
                return try await MobileNetV4(
                    bundle: bundle, loader: FakeLoader(bundle, ranOn: [.cpu]))
            },
            say: said.say)
        let result = try await benchmark.run(documents: documents, results: results)
        let file = results.appendingPathComponent("mnv4/result.json")
        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        #expect(json["status"] as? String == result.status.rawValue)
        return (json, said.text)
    }

    @Test func aJobOfPythonsAndAResultThatPythonReads() async throws {
        let documents = Fixtures.folder.appendingPathComponent("Documents")
        let (result, said) = try await run(
            documents, results: Fixtures.folder.appendingPathComponent("Caches"),
            device: TestDevice([.fair, .nominal]))
        #expect(result["status"] as? String == "ok", "\(result["error"] ?? "")")
        let samples = try #require(result["samples"] as? [String: Any])
        #expect((samples["latencies_ms"] as? [Double])?.count == 5)
        #expect((samples["t_ms"] as? [Double])?.first == 0)
        #expect(try #require(samples["golden_sqnr_db"] as? Double) > 30)
        #expect(samples["summary"] is NSNull)
        let conditions = try #require(samples["conditions"] as? [String: Any])
        // The job asks for the Neural Engine.
        #expect(conditions["compute_unit"] as? String == "cpu_only")
        #expect(samples["ran_on"] as? [String] == ["cpu"])
        #expect(conditions["low_power"] as? String == "off")
        for step in ["waits to be nominal", "load", "golden check", "5 runs", "ok"] {
            #expect(said.contains(step))
        }
    }

    /// Returns a valid job with one key changed.
    private func job(
        _ change: (inout [String: Any], URL) throws -> Void
    ) throws -> URL {
        let documents = try Fixtures.empty()
        let folder = documents.appendingPathComponent("mnv4/job")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let bundle = folder.appendingPathComponent("bundle")
        try FileManager.default.copyItem(at: Fixtures.bundle(Fixtures.float32), to: bundle)
        let source = Fixtures.folder.appendingPathComponent("Documents/mnv4/job/job.json")
        var json = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: source)) as? [String: Any])
        json["bundle"] = "bundle"
        try change(&json, bundle)
        try JSONSerialization.data(withJSONObject: json)
            .write(to: folder.appendingPathComponent("job.json"))
        return documents
    }

    private func failure(
        _ change: (inout [String: Any], URL) throws -> Void
    ) async throws -> (String, String) {
        let documents = try job(change)
        let (result, _) = try await run(documents, results: documents)
        #expect(result["samples"] is NSNull)
        return (
            try #require(result["status"] as? String), try #require(result["error"] as? String)
        )
    }

    @Test func aWrongOutputIsNotTimed() async throws {
        let (status, error) = try await failure { _, bundle in
            let data = try #require(
                try MobileNetV4.ModelBundle(folder: bundle).golden(.eager)["logits"])
            try Fixtures.replaceGolden(bundle, "golden/eager.logits.bin", Data(data.reversed()))
        }
        #expect(status == "wrong")
        #expect(error.contains("output logits:") && error.contains("must be"))
    }

    @Test func whatCannotBeFollowedSaysWhy() async throws {
        let cases: [(String, String, Any)] = [
            ("this one reads 1", "schema", 7), ("bundle: found", "bundle", "../bundle"),
            ("not a bundle", "bundle", "nothing"), ("job.json: plan", "plan", 3),
        ]
        for (wanted, key, value) in cases {
            let (status, error) = try await failure { json, _ in json[key] = value }
            #expect(status == "failed")
            #expect(error.contains(wanted), "\(error)")
        }
        let plans: [(String, String, Any?)] = [
            ("plan.sped: unknown key", "sped", 1), ("plan.runs: found 0", "runs", 0),
            ("plan.schema: ", "schema", 9), ("plan.threads: missing", "threads", nil),
            ("an app cannot choose its cores", "affinity", "4,5"),
            ("plan.unit: found 'all'", "unit", "all"),
        ]
        for (wanted, key, value) in plans {
            let (_, error) = try await failure { json, _ in
                guard var plan = json["plan"] as? [String: Any] else { return }
                plan[key] = value
                json["plan"] = plan
            }
            #expect(error.contains(wanted), "\(error)")
        }
        let (_, damaged) = try await failure { _, bundle in
            try Data([1]).write(
                to: bundle.appendingPathComponent(
                    "\(Fixtures.package(Fixtures.float32))/MobileNetV4.Manifest.json"))
        }
        #expect(damaged.contains("damaged"))
    }

    @Test func withoutAJob() async throws {
        let empty = try Fixtures.empty()
        let (result, _) = try await run(empty, results: empty)
        #expect(result["status"] as? String == "failed")
        #expect(try #require(result["error"] as? String).contains("job.json: is not in"))
        #expect(result["job"] as? String == "")
    }
}
