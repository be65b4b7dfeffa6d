import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests the automatic choice of units, with sessions that are right, wrong, slow, flaky, that throw
/// and that hang.
struct UnitChoiceTests {
    private typealias Unit = MobileNetV4.ComputeUnit

    /// What a session does on units.
    private enum Session {
        /// Gives the artifact's outputs.
        case right
        /// Gives the negative of the artifact's outputs.
        case wrong
        /// Takes this many milliseconds for every run.
        case slow(UInt32)
        /// Gives other outputs in one run, counted from the first run of the golden pair.
        case flaky(Int)
        /// Gives the first image's outputs for all images, from the third run on.
        case stuck
        /// Fails in one run, counted from the first run of the golden pair.
        case throwing(Int)
        /// Never ends a run.
        case hanging
        /// Never ends loading.
        case loading
        /// Cannot be opened.
        case refused
        /// Says that it runs on these.
        case saying([MobileNetV4.Plan.Unit])
    }

    private struct Planted: Error, CustomStringConvertible {
        let description: String
    }

    /// A device with one session for units, and what was opened on it.
    private final class Device: @unchecked Sendable {
        let bundle: MobileNetV4.ModelBundle
        let sessions: [Unit: Session]
        private let lock = NSLock()
        private var list: [Unit] = []
        private var stuck: Set<Unit> = []
        private let never = DispatchSemaphore(value: 0)

        init(_ bundle: MobileNetV4.ModelBundle, _ sessions: [Unit: Session]) {
            self.bundle = bundle
            self.sessions = sessions
        }

        /// Lets the threads of sessions that hang end, so that the process can.
        deinit { for _ in 0..<8 { never.signal() } }

        var opened: [Unit] { lock.withLock { list } }

        /// Returns when a session hangs, so that no test depends on time.
        func hangs(_ unit: Unit) async throws {
            while !lock.withLock({ stuck.contains(unit) }) {
                try await Task.sleep(for: .milliseconds(5))
            }
        }

        func open(_ unit: Unit) throws -> any MobileNetV4.SessionLoader {
            lock.withLock { list.append(unit) }
            let runs = Counter()
            switch sessions[unit, default: .right] {
            case .right: return FakeLoader(bundle)
            case .wrong: return FakeLoader(bundle) { $0.map { $0.map { -$0 } } }
            case .slow(let ms):
                return FakeLoader(bundle) {
                    usleep(1000 * ms)
                    return $0
                }
            case .flaky(let run):
                return FakeLoader(bundle) { outputs in
                    runs.add()
                    return runs.count == run ? outputs.map { $0.map { $0 + 1e-3 } } : outputs
                }
            case .stuck:
                let first = First()
                return FakeLoader(bundle) { first.exchange($0) }
            case .throwing(let run):
                return FakeLoader(bundle) {
                    runs.add()
                    if runs.count == run { throw Planted(description: "no memory") }
                    return $0
                }
            case .hanging:
                return FakeLoader(bundle) { [never, stop] in
                    stop(unit)
                    never.wait()
                    return $0
                }
            case .loading:
                stop(unit)
                return FakeLoader(bundle, delay: .seconds(3600))
            case .refused: throw MobileNetV4.Failure.runtimeFailed("no such unit")
            case .saying(let units): return FakeLoader(bundle, ranOn: units)
            }
        }

        private var stop: @Sendable (Unit) -> Void {
            { [weak self] unit in
                guard let self else { return }
                lock.withLock { _ = stuck.insert(unit) }
            }
        }
    }

    /// The outputs of the first run, from the third one on.
    private final class First: @unchecked Sendable {
        private let lock = NSLock()
        private var runs = 0
        private var first: [[Float]] = []

        func exchange(_ outputs: [[Float]]) -> [[Float]] {
            lock.withLock {
                runs += 1
                if runs == 1 { first = outputs }
                return runs > 2 ? first : outputs
            }
        }
    }

    private static let all: [MobileNetV4.Plan.Unit] = [.cpu, .gpu, .npu]

    private let bundle: MobileNetV4.ModelBundle
    private let folder: URL
    private var file: URL {
        folder.appendingPathComponent("\(bundle.manifest.artifact.sha256)-96x96.json")
    }

    init() throws {
        bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float16))
        folder = try Fixtures.empty().appendingPathComponent("choices")
    }

    private func device(_ sessions: [Unit: Session] = [:]) -> Device { Device(bundle, sessions) }

    /// Chooses as the app's next launch would.
    private func choose(
        _ on: Device, device: String = "iPhone16,1", system: String = "18.1 (22B83)",
        bundle: MobileNetV4.ModelBundle? = nil,
        available: [MobileNetV4.Plan.Unit] = Self.all, latencies: [Unit: Double] = [:]
    ) async throws -> MobileNetV4.UnitChoice {
        let choices = UnitChoices(
            folder: folder, device: device, system: system, limit: { try await on.hangs($0) },
            latency: { latencies[$0] ?? $1.network })
        return try await choices.choice(for: bundle ?? on.bundle, available: available) {
            try on.open($0)
        }
    }

    private func finding(
        _ unit: Unit, of choice: MobileNetV4.UnitChoice
    ) throws -> MobileNetV4.UnitChoice.Finding {
        try #require(choice.findings.first { $0.unit == unit })
    }

    @Test func theFastestIsChosenAndTheOthersAreSlower() async throws {
        let device = device()
        let choice = try await choose(
            device,
            latencies: [.cpuOnly: 8, .cpuAndGPU: 2, .cpuAndNeuralEngine: 4.125, .all: 2.004])
        #expect(choice.unit == .cpuAndGPU)
        #expect(choice.findings.map(\.unit) == Unit.tried)
        #expect(device.opened == Unit.tried)
        #expect(Set(Unit.tried) == Set(Unit.allCases))
        #expect(choice.findings.map(\.verdict) == [.slower, .fastest, .slower, .slower])
        #expect(choice.findings.map(\.medianMs) == [8, 2, 4.125, 2.004])
        #expect(
            choice.description == """
                cpu_and_gpu: right: takes 2.00 ms
                cpu_only: slower: takes 8.00 ms, cpu_and_gpu 2.00 ms
                cpu_and_ne: slower: takes 4.12 ms, cpu_and_gpu 2.00 ms
                all: slower: takes 2.00 ms, cpu_and_gpu 2.00 ms
                """)
    }

    @Test func theLatencyIsThatOfTheNetwork() async throws {
        let choice = try await choose(device([.cpuOnly: .slow(20)]), available: [.cpu])
        #expect(try #require(choice.findings.first?.medianMs) >= 20)
    }

    /// Prints the rows of docs/results/choosing-a-unit.md.
    @Test(arguments: ["right", "wrong", "slow", "flaky", "throwing", "hanging"])
    func oneFaultAtATime(_ name: String) async throws {
        let cases: [String: (Session, MobileNetV4.UnitChoice.Verdict)] = [
            "right": (.right, .fastest), "wrong": (.wrong, .wrong), "slow": (.right, .slower),
            "flaky": (.flaky(9), .flaky), "throwing": (.throwing(9), .failed),
            "hanging": (.hanging, .hung),
        ]
        let (session, verdict) = try #require(cases[name])
        let choice = try await choose(
            device([.cpuAndGPU: session]), available: [.cpu, .gpu],
            latencies: [.cpuOnly: 8, .cpuAndGPU: name == "slow" ? 20 : 2, .all: 12])
        #expect(choice.unit == (verdict == .fastest ? .cpuAndGPU : .cpuOnly))
        #expect(try finding(.cpuAndGPU, of: choice).verdict == verdict)
        let text = choice.description.replacingOccurrences(of: "\n", with: "; ")
        print("| \(name) | `\(choice.unit.rawValue)` | \(text) |")
    }

    @Test func equallyFastOnesAreChosenInTheOrderInWhichTheyAreTried() {
        let tried = Unit.tried.map {
            MobileNetV4.UnitChoice.Finding($0, .slower, reason: "", medianMs: 2)
        }
        #expect(MobileNetV4.UnitChoice(among: tried)?.unit == .cpuOnly)
    }

    @Test func whatIsNotRightIsDropped() async throws {
        let last = 2 + UnitTrial.runs
        let cases: [(Session, MobileNetV4.UnitChoice.Verdict, String)] = [
            (.wrong, .wrong, "wrong: output logits: -"),
            (.flaky(3), .flaky, "flaky: image 0 gave other outputs in run 1"),
            (.flaky(last), .flaky, "flaky: image 1 gave other outputs in run 20"),
            (.stuck, .flaky, "flaky: image 1 gave other outputs in run 2"),
            (.throwing(1), .failed, "fails: no memory"),
            (.throwing(last), .failed, "fails: no memory"),
            (.refused, .failed, "fails: no such unit"),
            (.hanging, .hung, "hangs: no result within 30 s"),
            (.loading, .hung, "hangs: no result within 30 s"),
            (.saying([.cpu]), .failed, "fails: the runtime says that it would run all of it on"),
        ]
        for (session, verdict, reason) in cases {
            try? FileManager.default.removeItem(at: folder)
            let device = device([.cpuAndGPU: session])
            let choice = try await choose(device)
            let found = try finding(.cpuAndGPU, of: choice)
            #expect(found.verdict == verdict, "\(session): \(found)")
            #expect(found.reason.hasPrefix(reason), "\(session): \(found)")
            #expect(found.medianMs == nil)
            // The others are tried all the same, and one of them is chosen.
            #expect(device.opened == Unit.tried)
            let others = choice.findings.filter { $0.unit != .cpuAndGPU }.map(\.verdict)
            #expect(others.filter { $0 == .slower }.count == 2)
            #expect(others.filter { $0 == .fastest }.count == 1)
            #expect(choice.unit != .cpuAndGPU)
        }
    }

    @Test func theCPUAloneMayRunOnTheCPUAlone() async throws {
        let choice = try await choose(
            device([.cpuOnly: .saying([.cpu]), .cpuAndGPU: .saying([.cpu, .gpu])]))
        #expect([.fastest, .slower].contains(try finding(.cpuOnly, of: choice).verdict))
        #expect([.fastest, .slower].contains(try finding(.cpuAndGPU, of: choice).verdict))
    }

    @Test func whatTheDeviceLacksIsNotTried() async throws {
        let cases: [([MobileNetV4.Plan.Unit], [Unit: String])] = [
            ([.cpu, .gpu], [.cpuAndNeuralEngine: "Neural Engine"]),
            ([.cpu, .npu], [.cpuAndGPU: "GPU"]),
            (
                [.cpu],
                [
                    .cpuAndNeuralEngine: "Neural Engine", .cpuAndGPU: "GPU",
                    .all: "unit but the CPU",
                ]
            ),
        ]
        for (available, lacking) in cases {
            try? FileManager.default.removeItem(at: folder)
            let device = device()
            let choice = try await choose(device, available: available)
            #expect(device.opened == Unit.tried.filter { lacking[$0] == nil })
            for (unit, what) in lacking {
                let found = try finding(unit, of: choice)
                #expect(found.verdict == .failed)
                #expect(found.reason == "fails: this device has no \(what)")
            }
        }
    }

    @Test func noneIsRightAndNothingIsRemembered() async throws {
        let device = device([
            .cpuOnly: .wrong, .cpuAndGPU: .throwing(1), .cpuAndNeuralEngine: .flaky(9),
            .all: .refused,
        ])
        let said = await message { try await choose(device) }
        #expect(said.hasPrefix("\(Fixtures.float16): no units of this device run it right; "))
        #expect(said.contains("cpu_only: wrong: output logits: "))
        #expect(said.contains("; cpu_and_gpu: fails: no memory; cpu_and_ne: flaky: "))
        #expect(said.hasSuffix("; all: fails: no such unit"))
        // However often: a trial that ended is none that ended the app.
        for _ in 0..<2 { _ = await message { try await choose(device) } }
        #expect(device.opened == Unit.tried + Unit.tried + Unit.tried)
    }

    @Test func theNextLaunchRemembers() async throws {
        let device = device([.all: .wrong])
        let first = try await choose(device)
        #expect(try await choose(device) == first)
        #expect(device.opened == Unit.tried)
    }

    @Test func aChoiceThatNoLongerLoadsIsForgotten() async throws {
        struct Broken: MobileNetV4.SessionLoader {
            let error: any Error
            func load() async throws -> sending any MobileNetV4.Session { throw error }
        }
        let device = device()
        _ = try await choose(device, available: [.cpu])
        let choices = UnitChoices(folder: folder, device: "iPhone16,1", system: "18.1 (22B83)")
        func open(_ loader: any MobileNetV4.SessionLoader) async -> String {
            let chosen = ChosenLoader(loader, for: bundle, of: choices)
            return await message { try await MobileNetV4(bundle: bundle, loader: chosen) }
        }
        #expect(await open(FakeLoader(bundle)) == "no error")
        _ = await open(Broken(error: CancellationError()))
        _ = try await choose(device, available: [.cpu])
        #expect(device.opened.count == 1)
        let failure = MobileNetV4.Failure.runtimeFailed("no memory")
        #expect(await open(Broken(error: failure)) == "no memory")
        _ = try await choose(device, available: [.cpu])
        #expect(device.opened.count == 2)
    }

    @Test func anotherDeviceSystemOrArtifactIsTriedAnew() async throws {
        let device = device()
        _ = try await choose(device, available: [.cpu])
        _ = try await choose(device, device: "iPhone17,3", available: [.cpu])
        #expect(device.opened.count == 2)
        _ = try await choose(
            device, device: "iPhone17,3", system: "18.1 (22B91)", available: [.cpu])
        #expect(device.opened.count == 3)
        // The choices before are removed: there is one file for each artifact.
        #expect(try names() == [file.lastPathComponent])
        let other = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float32))
        let second = Device(other, [:])
        _ = try await choose(
            second, device: "iPhone17,3", system: "18.1 (22B91)", available: [.cpu])
        #expect(second.opened.count == 1)
        #expect(try names().count == 2)
        _ = try await choose(
            device, device: "iPhone17,3", system: "18.1 (22B91)", available: [.cpu])
        #expect(device.opened.count == 3)
    }

    @Test func eachInputSizeHasAChoiceOfItsOwn() async throws {
        let devices = try [nil, MobileNetV4.InputSize(height: 64, width: 96)].map { size in
            Device(
                try MobileNetV4.ModelBundle(
                    folder: Fixtures.bundle(Fixtures.float32), inputSize: size),
                size == nil ? [:] : [.cpuAndGPU: .wrong])
        }
        let latencies: [Unit: Double] = [
            .cpuOnly: 8, .cpuAndGPU: 2, .cpuAndNeuralEngine: 4, .all: 6,
        ]
        for _ in 0..<2 {
            for (device, unit) in zip(devices, [Unit.cpuAndGPU, .cpuAndNeuralEngine]) {
                let choice = try await choose(device, latencies: latencies)
                #expect(choice.unit == unit)
                #expect(device.opened == Unit.tried)
            }
        }
        let sha256 = devices[0].bundle.manifest.artifact.sha256
        #expect(try names().sorted() == ["\(sha256)-64x96.json", "\(sha256)-96x96.json"])
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path)
    }

    @Test func aDamagedFileIsReplaced() async throws {
        let device = device()
        _ = try await choose(device, available: [.cpu])
        let whole = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        let damages: [String] = [
            "", "{}", "null", String(whole.dropLast(2)), String(whole.dropFirst()),
            whole.replacingOccurrences(of: #""schema":1"#, with: #""schema":2"#),
            whole.replacingOccurrences(of: "cpu_and_gpu", with: "cpu_and_fpga"),
            whole.replacingOccurrences(of: "fastest", with: "slower"),
            whole.replacingOccurrences(of: "failed", with: "fastest"),
            whole.replacingOccurrences(of: #""unit":"all""#, with: #""unit":"cpu_only""#),
        ]
        for (i, damage) in damages.enumerated() {
            #expect(damage != whole)
            try Data(damage.utf8).write(to: file)
            let again = try await choose(device, available: [.cpu])
            #expect(device.opened.count == i + 2, "\(damage)")
            #expect(try await choose(device, available: [.cpu]) == again)
            #expect(device.opened.count == i + 2, "\(damage)")
        }
    }

    @Test func unitsThatEndTheAppTwiceAreNotTriedAgain() async throws {
        // A launch that never gets further stands for one that ends.
        for _ in 0..<2 {
            let device = device([.all: .hanging])
            let choices = UnitChoices(
                folder: folder, device: "a", system: "b",
                limit: { _ in try await Task.sleep(for: .seconds(3600)) })
            let launch = Task {
                try await choices.choice(for: bundle, available: Self.all) {
                    try device.open($0)
                }
            }
            try await device.hangs(.all)
            launch.cancel()
        }
        let third = device()
        let choice = try await choose(third, device: "a", system: "b")
        #expect(third.opened == Unit.tried.filter { $0 != .all })
        let found = try finding(.all, of: choice)
        #expect(found.verdict == .crashed)
        #expect(found.reason == "crashes: the app ended 2 times while these were tried")
        #expect(try await choose(third, device: "a", system: "b") == choice)
        // Another build of the system may be better.
        let fourth = device()
        _ = try await choose(fourth, device: "a", system: "c")
        #expect(fourth.opened == Unit.tried)
    }

    @Test func oneTrialForManyCallersAndOneAtATime() async throws {
        let device = device()
        let other = Device(
            try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float32)), [:])
        let order = Order()
        let choices = UnitChoices(folder: folder, device: "a", system: "b")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for one in [device, other, device, other] {
                group.addTask {
                    _ = try await choices.choice(for: one.bundle, available: Self.all) {
                        order.add(one.bundle.manifest.id)
                        return try one.open($0)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(device.opened == Unit.tried && other.opened == Unit.tried)
        // Four of one bundle, then four of the other.
        #expect(Set(order.ids[..<4]).count == 1 && Set(order.ids[4...]).count == 1)
    }

    private final class Order: @unchecked Sendable {
        private let lock = NSLock()
        private var list: [String] = []
        var ids: [String] { lock.withLock { list } }
        func add(_ id: String) { lock.withLock { list.append(id) } }
    }

    @Test func choicesThatNoOneUsesAnyMoreAreSwept() async throws {
        let other = Device(
            try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float32)), [:])
        let device = device()
        for one in [device, other] { _ = try await choose(one, available: [.cpu]) }
        try Data().write(to: folder.appendingPathComponent("else.json"))
        for name in try names() {
            let isOther = name.hasPrefix(other.bundle.manifest.artifact.sha256)
            let long = Date(timeIntervalSinceNow: -Kept.unused + (isOther ? -60 : 60))
            try FileManager.default.setAttributes(
                [.modificationDate: long],
                ofItemAtPath: folder.appendingPathComponent(name).path)
        }
        _ = try await choose(device, available: [.cpu])
        #expect(try names() == [file.lastPathComponent])
        #expect(device.opened.count == 1)
        // Using it counts.
        let about = try FileManager.default.attributesOfItem(atPath: file.path)
        let used = try #require(about[.modificationDate] as? Date)
        #expect(used.timeIntervalSinceNow > -60)
    }

    @Test func aFolderThatCannotBeWrittenIsNoError() async throws {
        try Data().write(to: folder)
        let device = device()
        for _ in 0..<2 { _ = try await choose(device, available: [.cpu]) }
        #expect(device.opened.count == 2)
    }

    @Test func withoutAGoldenPairNothingIsChosen() async throws {
        let folder = try Fixtures.edited(Fixtures.float16) { $0["golden"] = [] }
        guard let plain = try? MobileNetV4.ModelBundle(folder: folder) else { return }
        let device = Device(plain, [:])
        #expect(await message { try await choose(device) }.contains("golden: lacks pixels"))
        #expect(device.opened.isEmpty)
    }
}
