import Foundation
import Testing

@testable import Logic
@testable import MobileNetV4Core

struct SmoothingTests {
    @Test func newerFramesCountMore() {
        var smoothing = Smoothing(labels: nil)
        smoothing.add([0, 1], at: 10)
        #expect(smoothing.top(1).map(\.probability) == [1])
        smoothing.add([1, 0], at: 10 + Smoothing.time)
        let (first, second) = (smoothing.top(2)[0], smoothing.top(2)[1])
        #expect(first.index == 0)
        #expect(abs(second.probability - Float(exp(-1.0))) < 1e-6)
        #expect(abs(first.probability + second.probability - 1) < 1e-6)
    }

    @Test func oneFrameThatDiffersDoesNotChangeTheLabel() {
        var smoothing = Smoothing(labels: ["cat", "dog"])
        for i in 0..<10 { smoothing.add([0.9, 0.1], at: Double(i) / 30) }
        smoothing.add([0.1, 0.9], at: 10.0 / 30)
        #expect(smoothing.top(1).map(\.label) == ["cat"])
        // After a pause only the new frame counts.
        smoothing.add([0.1, 0.9], at: 20)
        #expect(smoothing.top(1).map(\.label) == ["dog"])
    }

    @Test func theNumberOfFramesDoesNotMatter() {
        var (fast, slow) = (Smoothing(labels: nil), Smoothing(labels: nil))
        fast.add([1], at: 0)
        slow.add([1], at: 0)
        for i in 1...6 { fast.add([0], at: Double(i) / 6) }
        for i in 1...2 { slow.add([0], at: Double(i) / 2) }
        #expect(abs(fast.top(1)[0].probability - slow.top(1)[0].probability) < 1e-6)
    }

    @Test func theMostProbableClassesComeFirst() {
        var smoothing = Smoothing(labels: nil)
        #expect(smoothing.top(3) == [])
        smoothing.add([0.25, 0.5, 0.25], at: 0)
        #expect(smoothing.top(2).map(\.label) == ["1", "0"])
        #expect(smoothing.top(9).map(\.index) == [1, 0, 2])
    }
}

struct PaceTests {
    @Test func theThermalStateDecides() {
        let paces = MobileNetV4.ThermalStatus.allCases.map { Pace($0) }
        #expect(paces == [.full, .full, .slow, .paused])
        #expect(Pace(nil) == .full)
        #expect(paces.map(\.cameraRate) == [nil, nil, 15, nil])
    }

    @Test func aHotDeviceClassifiesTwoFramesPerSecond() {
        var gate = Gate()
        func admitted(_ pace: Pace, from: Int) -> Int {
            gate.pace = pace
            return (from..<from + 90).filter { gate.admits(Double($0) / 30) }.count
        }
        #expect(admitted(.full, from: 0) == 90)
        #expect(admitted(.slow, from: 90) == 6)
        #expect(admitted(.paused, from: 180) == 0)
        #expect(admitted(.full, from: 270) == 90)
    }
}

struct ViewfinderTests {
    private func spec(_ size: [Int], crop: Double) -> MobileNetV4.PreprocessSpec {
        MobileNetV4.PreprocessSpec(
            size: size, crop: crop, interpolation: .bicubic, mean: [0, 0, 0], std: [1, 1, 1])
    }

    private func near(_ a: CGRect, _ b: CGRect) -> Bool {
        abs(a.minX - b.minX) < 1e-9 && abs(a.minY - b.minY) < 1e-9
            && abs(a.width - b.width) < 1e-9 && abs(a.height - b.height) < 1e-9
    }

    @Test func anUprightPhone() {
        // 480 x 640 pixels in 300 x 600 points: 300 x 400, with 100 above and below.
        let upright = Viewfinder(width: 640, height: 480, turn: .portrait)
        let preview = CGRect(x: 0, y: 0, width: 300, height: 600)
        let whole = upright.box(spec([96, 96], crop: 1), in: preview)
        #expect(near(whole, CGRect(x: 0, y: 150, width: 300, height: 300)))
        let half = upright.box(spec([96, 96], crop: 0.5), in: preview)
        #expect(near(half, CGRect(x: 75, y: 225, width: 150, height: 150)))
    }

    @Test func aPhoneOnItsSide() {
        let sideways = Viewfinder(width: 640, height: 480, turn: Turn(angle: 180))
        // 640 x 480 pixels in 400 x 600 points that begin at (20, 10): 400 x 300.
        let preview = CGRect(x: 20, y: 10, width: 400, height: 600)
        let box = sideways.box(spec([96, 96], crop: 1), in: preview)
        #expect(near(box, CGRect(x: 70, y: 160, width: 300, height: 300)))
    }

    @Test func aNetworkThatIsNotSquare() {
        let upright = Viewfinder(width: 640, height: 480, turn: .portrait)
        let preview = CGRect(x: 0, y: 0, width: 480, height: 640)
        let box = upright.box(spec([96, 192], crop: 1), in: preview)
        #expect(near(box, CGRect(x: 0, y: 200, width: 480, height: 240)))
    }

    @Test(arguments: [0.0, 90, 180, 270])
    func theTurnIsThatOfThePreprocessing(_ angle: Double) throws {
        let turn = Turn(angle: angle)
        let frame = try MobileNetV4.PackedPixels(
            bytes: Data(count: 48), width: 4, height: 3, bytesPerRow: 16, format: .bgra,
            orientation: MobileNetV4.Orientation(degrees: turn.degrees))
        #expect(Viewfinder(frame) == Viewfinder(width: 4, height: 3, turn: turn))
    }

    @Test func turns() {
        let angles = [0, 90, 180, 270, 360, -90, 89.9]
        #expect(angles.map { Turn(angle: $0).degrees } == [0, 90, 180, 270, 0, 270, 90])
        // Portrait, upside down, landscape right, landscape left, unknown.
        #expect([1, 2, 3, 4, 0].map { Turn(interface: $0).degrees } == [90, 270, 0, 180, 90])
    }
}

struct ReportTests {
    private struct Still: MobileNetV4.Device {
        func thermal() -> MobileNetV4.Thermal { MobileNetV4.Thermal() }
        func conditions() async -> [String: MobileNetV4.Condition] { [:] }
        func peakRssMb() -> Double? { nil }
    }

    @Test func theFileNamesWhatWasMeasuredAndOnWhat() async throws {
        let benchmark = MobileNetV4.Benchmark(
            device: Still(),
            open: { folder, _ in throw MobileNetV4.Failure.badBundle(folder.path) },
            say: { _ in })
        let job = MobileNetV4.Job(
            id: "1", bundle: URL(fileURLWithPath: "/nowhere"), plan: MobileNetV4.Plan())
        let result = await benchmark.run(job)
        let subject = Report.Subject(
            model: "main.conv", network: "conv-small", recipe: "fp16", input: [1, 3, 96, 96],
            artifactSha256: "ab")
        let report = Report(
            subject: subject, begun: Date(timeIntervalSince1970: 0),
            runs: Report.Runs(warmup: 10, leastTimed: 50, leastSeconds: 2),
            sessions: [
                Report.Session(unit: nil, result: result),
                Report.Session(unit: .npu, result: result),
            ])
        let text = String(decoding: try report.json(), as: UTF8.self)
        for part in [
            "\"artifact_sha256\" : \"ab\"", "\"begun\" : \"1970-01-01T00:00:00Z\"",
            "\"least_seconds\" : 2", "\"model\" : \"main.conv\"", "\"unit\" : null",
            "\"unit\" : \"npu\"", "\"status\" : \"failed\"",
        ] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
        #expect(!subject.device.isEmpty && !subject.system.isEmpty)
    }

    @Test func aUnitThatDidNotRunAllOfIt() throws {
        func session(
            _ unit: MobileNetV4.Plan.Unit?, ranOn units: [MobileNetV4.Plan.Unit]
        ) -> Report.Session {
            let samples = MobileNetV4.Samples(
                goldenSqnrDb: 40, latenciesMs: [1], startsMs: [0], preprocessMs: [], ranOn: units,
                thermalBefore: MobileNetV4.Thermal(), thermalAfter: MobileNetV4.Thermal(),
                versions: [:], conditions: [:])
            let result = MobileNetV4.JobResult(job: "1", status: .ok, error: nil, samples: samples)
            return Report.Session(unit: unit, result: result)
        }
        #expect(session(.npu, ranOn: [.cpu]).isFallback)
        #expect(session(.npu, ranOn: [.cpu, .npu]).isFallback)
        #expect(!session(.npu, ranOn: [.npu]).isFallback)
        #expect(!session(.npu, ranOn: []).isFallback)
        #expect(!session(nil, ranOn: [.cpu]).isFallback)
        let text = String(
            decoding: try JSONEncoder().encode(session(.npu, ranOn: [.cpu])), as: UTF8.self)
        #expect(text.contains("\"unit\":\"npu\"") && text.contains("\"ran_on\":[\"cpu\"]"))
    }

    @Test func aModelThatIsNotThereHasNoReport() {
        let model = MobileNetV4.Model(id: "none", in: .main)
        #expect(throws: MobileNetV4.Failure.self) { try Report(model, plan: MobileNetV4.Plan()) }
    }
}

struct OperatorCountTests {
    @Test func operatorsAreCountedByUnit() {
        let units: [MobileNetV4.Plan.Unit?] = [.cpu, .npu, .npu, nil, .cpu, .cpu]
        let operators = units.map {
            MobileNetV4.OperatorPlan(
                id: 0, kind: "conv", name: "x", unit: $0, supported: [], cost: nil)
        }
        #expect(
            OperatorCount.counts(operators) == [
                OperatorCount(unit: .cpu, count: 3),
                OperatorCount(unit: .npu, count: 2),
                OperatorCount(unit: nil, count: 1),
            ])
        #expect(OperatorCount.counts([]) == [])
    }
}
