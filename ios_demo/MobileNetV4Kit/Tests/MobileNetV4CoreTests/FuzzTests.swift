import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests that changed documents end in a record or in an error of the enum: no trap, no hang.
///
/// A trap ends the process; then the seeds and numbers of the changes in progress are printed.
struct FuzzTests {
    private static let perSeed = 1250

    /// Documents that Python wrote or that all languages accept, most with a small input.
    private func manifests() throws -> [Tree] {
        let built = try [Fixtures.float32, Fixtures.float16, Fixtures.executorch].map {
            try Tree(Data(contentsOf: Fixtures.bundle($0).appendingPathComponent("manifest.json")))
        }
        return try Fixtures.accepted("manifest").map { try Tree($0) }.flatMap { one in
            [true, false].map { planar in
                var small = one
                Agreeing.resize(&small, Agreeing.small, planar: planar)
                return small
            }
        } + built
    }

    @Test(.timeLimit(.minutes(1)), arguments: 1...8)
    func manifestsOfAnyKind(_ seed: Int) throws {
        let bases = try manifests()
        var accepted = 0
        try changes(seed, Self.perSeed, bases) { json in
            do {
                let manifest = try MobileNetV4.Manifest(json: json)
                accepted += 1
                try use(manifest)
            } catch MobileNetV4.Failure.badBundle {}
        }
        // If nearly all were refused, this would test little.
        #expect(accepted > Self.perSeed / 10, "accepted: \(accepted)")
    }

    @Test(arguments: 1...2)
    func plans(_ seed: Int) throws {
        try changes(seed, 500, try Fixtures.accepted("plan").map { try Tree($0) }) { json in
            do { _ = try MobileNetV4.Plan(json: json) } catch MobileNetV4.Failure.badPlan {}
        }
    }

    @Test(arguments: 1...2)
    func jobs(_ seed: Int) throws {
        let folder = URL(fileURLWithPath: "/job")
        try changes(seed, 500, try Fixtures.accepted("job").map { try Tree($0) }) { json in
            do {
                let job = try MobileNetV4.Job(json: json, in: folder)
                #expect(job.bundle.standardizedFileURL.path.hasPrefix("/job/"))
            } catch MobileNetV4.Failure.badPlan {}
        }
    }

    /// Traps in the middle of the changes, for a check that this fails and is reported.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["MNV4_PLANTED_TRAP"] != nil))
    func aPlantedTrap() throws {
        var count = 0
        try changes(1, 9, [.numbers([1])]) { _ in
            count += 1
            if count == 7 { _ = [Int]()[count] }
        }
    }

    /// Calls a block with changed documents, and names the change whose error is not the block's own.
    private func changes(
        _ seed: Int, _ count: Int, _ bases: [Tree], _ check: (Data) throws -> Void
    ) throws {
        InProgress.begin(seed)
        for number in 0..<count {
            InProgress.set(seed, number)
            let json = Self.changed(bases, seed, number)
            do {
                try check(json)
            } catch {
                let text = String(decoding: json.prefix(3000), as: UTF8.self)
                Issue.record("seed \(seed), change \(number): \(error): \(text)")
            }
        }
        InProgress.end(seed)
    }

    private static func changed(_ bases: [Tree], _ seed: Int, _ number: Int) -> Data {
        var random = Seeded(seed << 32 + number)
        var tree = random.one(of: bases)
        if random.below(3) == 0 { Agreeing.change(&tree, &random) }
        if random.below(4) > 0 {
            for _ in 0...random.below(3) { tree = tree.changed(&random) }
        }
        return random.below(6) == 0 ? Hostile.damaged(tree.json, &random) : tree.json
    }

    /// Does with a manifest what an app does. What would take long is not computed.
    private func use(_ manifest: MobileNetV4.Manifest) throws {
        let most = 1 << 20
        let sizes = ([manifest.input] + manifest.outputs).map(\.bytes)
        #expect(sizes.allSatisfy { (1...JSON.mostInt32).contains($0) })
        for size in manifest.inputSizes {
            let one = try manifest.at(inputSize: size)
            #expect(([one.input] + one.outputs).allSatisfy { $0.bytes <= JSON.mostInt32 })
        }
        try AppleSystem(.iOS, 1000).check(manifest)
        _ = try MobileNetV4.ComputeUnit.chosen(nil, for: manifest, simulator: false)
        guard sizes.allSatisfy({ $0 <= most }) else { return }
        let preprocessor = try MobileNetV4.Preprocessor(
            spec: manifest.preprocess, input: manifest.input)
        do {
            let count = try preprocessor.prepare(
                Grid(rows: [[0, 0xffffff, 0x808080], [1, 2, 3]], orientation: .turned90)
            ) { $0.count }
            #expect(count == manifest.input.bytes)
        } catch MobileNetV4.Failure.badImage {}  // too large once it is resized
        let values = try manifest.outputs.map { output in
            try [UInt8](repeating: 0x7f, count: output.bytes).withUnsafeBytes {
                try output.floats($0)
            }
        }
        #expect(values.map(\.count) == manifest.outputs.map(\.count))
        let outputs = MobileNetV4.Outputs(
            manifest: manifest, values: values, times: .init(preprocess: 0, network: 0))
        _ = (outputs.embedding, outputs.featureMaps)
        do { _ = try outputs.top(5) } catch MobileNetV4.Failure.unsupported {}  // no classes
    }
}

/// The changes in progress, which a signal handler prints when the process traps.
private enum InProgress {
    private static let slots = 16
    nonisolated(unsafe) private static let numbers = {
        let numbers = UnsafeMutablePointer<Int>.allocate(capacity: slots)
        numbers.initialize(repeating: -1, count: slots)
        return numbers
    }()
    private static let installed: Void = {
        for code in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE] {
            signal(code) { code in
                for seed in 0..<slots where numbers[seed] >= 0 {
                    InProgress.print("trap: seed ", seed)
                    InProgress.print(", change ", numbers[seed])
                    InProgress.print("\n", nil)
                }
                signal(code, SIG_DFL)
                raise(code)
            }
        }
    }()

    static func begin(_ seed: Int) {
        _ = numbers
        _ = installed
    }

    static func set(_ seed: Int, _ number: Int) { numbers[seed] = number }
    static func end(_ seed: Int) { numbers[seed] = -1 }

    /// Writes to standard error without memory of its own, which a handler may not ask for.
    private static func print(_ text: StaticString, _ number: Int?) {
        _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
        guard let number else { return }
        var digit = 1
        while number / digit >= 10 { digit *= 10 }
        while digit > 0 {
            var byte = UInt8(ascii: "0") + UInt8(number / digit % 10)
            _ = write(2, &byte, 1)
            digit /= 10
        }
    }
}
