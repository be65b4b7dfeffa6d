import Foundation
import MobileNetV4ModelsMain
import XCTest

/// Tests this package's bundles for ExecuTorch with ExecuTorch itself.
final class ExecuTorchTests: XCTestCase {
    func testEveryBundleGivesWhatTheFloatModelGave() async throws {
        for model in MainModels.all {
            let bundle = try MobileNetV4.ModelBundle(folder: model.folder)
            guard bundle.manifest.target == "executorch" else { continue }
            let network = try await MobileNetV4(executorch: model)
            let sqnrDb = try await MobileNetV4.Golden(bundle).check(network)
            XCTAssertGreaterThan(sqnrDb, 0, model.id)
        }
    }
}
