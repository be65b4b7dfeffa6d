import Foundation
import MobileNetV4ModelsMain
import XCTest

/// Tests this package's bundles for Core ML and Core AI with these runtimes themselves.
final class SystemTests: XCTestCase {
    func testEveryBundleGivesWhatTheFloatModelGave() async throws {
        for model in try await models() {
            let bundle = try MobileNetV4.ModelBundle(folder: model.folder)
            let network = try await MobileNetV4(model)
            let sqnrDb = try await MobileNetV4.Golden(bundle).check(network)
            XCTAssertGreaterThan(sqnrDb, 0, model.id)
        }
    }

    /// Measures every bundle on every unit; in the Simulator on the CPU. It reads the environment
    /// variables `MNV4_PLAN`, a plan as JSON, and `MNV4_RESULTS`, a folder for one result.json per
    /// measurement. `xcodebuild test` sets them from `TEST_RUNNER_MNV4_PLAN` and
    /// `TEST_RUNNER_MNV4_RESULTS`.
    func testBenchmark() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let json = environment["MNV4_PLAN"] else {
            throw XCTSkip("no plan in MNV4_PLAN")
        }
        let plan = try MobileNetV4.Plan(json: Data(json.utf8))
        for model in try await models() {
            for unit in MobileNetV4.Plan.Unit.available {
                var one = plan
                one.unit = unit
                let id = UUID().uuidString.lowercased()
                let result = await MobileNetV4.Benchmark.onThisDevice.run(
                    MobileNetV4.Job(id: id, bundle: model.folder, plan: one))
                XCTAssertEqual(result.status, .ok, "\(model.id), \(unit): \(result.error ?? "")")
                if let folder = environment["MNV4_RESULTS"] {
                    let name = "\(model.id)-\(unit.rawValue)"
                    try result.write(URL(fileURLWithPath: folder).appendingPathComponent(name))
                }
            }
        }
    }

    /// Returns the bundles, without those that need a newer system than this one.
    private func models() async throws -> [MobileNetV4.Model] {
        var found: [MobileNetV4.Model] = []
        for model in MainModels.all {
            let bundle = try MobileNetV4.ModelBundle(folder: model.folder)
            guard ["coreml", "coreai"].contains(bundle.manifest.target) else { continue }
            do {
                _ = try await MobileNetV4(model)
                found.append(model)
            } catch MobileNetV4.Failure.unsupported(let why) {
                print("not tested: \(why)")
            }
        }
        if found.isEmpty { throw XCTSkip("no bundle runs on this system") }
        return found
    }
}
