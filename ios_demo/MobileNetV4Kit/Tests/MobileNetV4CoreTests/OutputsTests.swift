import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests what a network's outputs tell, as Kotlin's tests do.
struct OutputsTests {
    private let logits: [Float] = [0, 2, 1]

    /// Returns outputs with one value list for each kind.
    private func outputs(
        _ found: [(kind: String, values: [Float])], labels: [String]? = nil
    ) throws -> MobileNetV4.Outputs {
        let folder = try Fixtures.edited(Fixtures.float32) { manifest in
            manifest["id"] = "m"
            manifest["labels"] = labels ?? NSNull()
            manifest["parity"] = [String: Any]()
            manifest["more_sizes"] = nil
            guard let first = (manifest["outputs"] as? [[String: Any]])?.first,
                let golden = manifest["golden"] as? [[String: Any]],
                let eager = golden.first(where: { $0["source"] as? String == "eager" })
            else { return }
            let images = golden.filter { $0["source"] as? String == "input" }
            manifest["golden"] =
                images
                + found.map { kind, values in
                    eager.merging([
                        "tensor": kind == "logits" ? "scores" : kind,
                        "shape": kind.hasPrefix("stage") ? [4, 2, 2, 2] : [4, values.count],
                    ]) { $1 }
                }
            manifest["outputs"] = found.map { kind, values in
                let shape: [Int] = kind.hasPrefix("stage") ? [1, 2, 2, 2] : [1, values.count]
                let layout: Any = kind.hasPrefix("stage") ? "nhwc" : NSNull()
                return first.merging(
                    [
                        "name": kind == "logits" ? "scores" : kind, "kind": kind, "shape": shape,
                        "layout": layout,
                    ]
                ) { $1 }
            }
        }
        return MobileNetV4.Outputs(
            manifest: try MobileNetV4.ModelBundle(folder: folder).manifest,
            values: found.map(\.values), times: .init(preprocess: 0, network: 0))
    }

    @Test func everyOutputByItsName() throws {
        let stage = (0..<8).map(Float.init)
        let found = try outputs([("embedding", [5, 6]), ("logits", logits), ("stage_3", stage)])
        #expect(try found["embedding"] == [5, 6])
        #expect(try found["scores"] == logits)
        #expect(found.byName == ["embedding": [5, 6], "scores": logits, "stage_3": stage])
        #expect(
            message { try found["logits"] }
                == "m: has no output 'logits', only embedding, scores, stage_3")
        #expect(found.embedding == [5, 6])
        #expect(found.featureMaps.map(\.kind) == ["stage_3"])
        #expect(found.featureMaps.first?.values == stage)
    }

    @Test func whatABundleDoesNotOutput() throws {
        let found = try outputs([("stage_3", (0..<8).map(Float.init))])
        #expect(found.probabilities == nil && found.embedding == nil)
        #expect(message { try found.top(1) } == "m: has no classes, only stage_3")
    }

    @Test func theMostProbableClassesAboveAThresholdAmongLabels() throws {
        let found = try outputs([("logits", logits)], labels: ["cat", "dog", "fox"])
        #expect(try found.top().map(\.label) == ["dog", "fox", "cat"])
        #expect(try found.top(threshold: 0.2).map(\.label) == ["dog", "fox"])
        // The share among all classes, not among those that are allowed.
        let cat = try found.top(allow: ["cat"])
        #expect(cat.map(\.label) == ["cat"])
        #expect(abs(cat[0].probability - 0.090_030_6) < 1e-6)
        #expect(try found.top(allow: []).isEmpty)
        #expect(
            message { try found.top(allow: ["Cat", "dog", "wolf"]) }
                == "allow: found Cat, wolf, which are no classes of m")
        #expect(
            message { try found.top(threshold: 50) }
                == "threshold: found 50.0, must be from 0 to 1")
        #expect(message { try found.top(threshold: .nan) }.contains("found nan"))
    }

    @Test func classesWithoutLabelsAreCalledByTheirIndex() throws {
        let found = try outputs([("logits", logits)])
        #expect(try found.top().map(\.label) == ["1", "2", "0"])
        #expect(try found.top(allow: ["2"]).map(\.index) == [2])
        #expect(message { try found.top(allow: ["3"]) }.contains("found 3"))
    }

    @Test func classesOfOneName() {
        let scores: [Float] = [0.1, 0.3, 0.05, 0.3, 0.25]
        let twice = ["crane", "crane", "b", "c", "d"]
        let found = Scores.top(scores, count: 3, labels: twice, allow: ["crane"])
        #expect(found.map(\.index) == [1, 0])
    }
}
