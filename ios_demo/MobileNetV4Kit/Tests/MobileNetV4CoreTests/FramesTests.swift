import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests the classifier of frames and batches of images, with a stand-in for the runtime.
struct FramesTests {
    private func open() async throws -> MobileNetV4 {
        let bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float32))
        return try await MobileNetV4(bundle: bundle, loader: FakeLoader(bundle))
    }

    @Test func theLatestFrameWinsAndOthersAreReleased() async throws {
        let frames = MobileNetV4.FrameClassifier(try await open())
        let log = Log()
        frames.submit(Frame(0, log))  // Nobody reads the results.
        #expect(log.released == [0])
        var results = frames.outputs.makeAsyncIterator()
        for i in 1...3 { frames.submit(Frame(i, log)) }
        #expect(log.released == [0, 1, 2])
        #expect(try await results.next()?.get().top(1).count == 1)
        #expect(log.read == [3])
        #expect(log.released == [0, 1, 2, 3])
        for i in 4...5 { frames.submit(Frame(i, log)) }
        _ = await results.next()
        #expect(log.read == [3, 5])
    }

    @Test func aFrameThatComesWhileTheNetworkRunsIsNext() async throws {
        let frames = MobileNetV4.FrameClassifier(try await open())
        let log = Log()
        var results = frames.outputs.makeAsyncIterator()
        frames.submit(
            Frame(1, log) {
                for i in 2...4 { frames.submit(Frame(i, log)) }
            })
        _ = await results.next()
        _ = await results.next()
        #expect(log.read == [1, 4])
    }

    @Test func anErrorDoesNotEndTheResults() async throws {
        let frames = MobileNetV4.FrameClassifier(try await open())
        var results = frames.outputs.makeAsyncIterator()
        frames.submit(.failure(MobileNetV4.Failure.badImage("frame: no")))
        let first = await results.next()
        #expect(message { try first?.get() as Any } == "frame: no")
        frames.submit(Blank(width: 0, height: 0))
        let second = await results.next()
        #expect(message { try second?.get() as Any }.contains("0 x 0"))
        frames.submit(Blank(width: 9, height: 9))
        #expect(try await results.next()?.get().top().count == 5)
    }

    @Test func noResultOfTheModelBeforeIsPublished() async throws {
        let frames = MobileNetV4.FrameClassifier(try await open())
        let (second, log) = (try await open(), Log())
        var results = frames.outputs.makeAsyncIterator()
        // The model is changed while the old one reads the first frame.
        frames.submit(
            Frame(1, log) {
                frames.use(second)
                frames.submit(Frame(2, log))
            })
        _ = await results.next()
        #expect(log.read == [1, 2])
        frames.submit(Frame(3, log))
        frames.use(nil)
        #expect(log.released == [1, 2, 3])
        frames.submit(Frame(4, log))
        #expect(log.released == [1, 2, 3, 4])
    }

    @Test func aLoopEndsWhenItIsCancelledAndAnotherMayBegin() async throws {
        let frames = MobileNetV4.FrameClassifier(try await open())
        let first = Task { for await _ in frames.outputs {} }
        try await Task.sleep(for: .milliseconds(20))
        first.cancel()
        await first.value
        let log = Log()
        frames.submit(Frame(1, log))
        #expect(log.released == [1])  // not kept for a loop that has ended
        var results = frames.outputs.makeAsyncIterator()
        frames.submit(Frame(2, log))
        #expect(try await results.next()?.get().top().count == 5)
        // A later loop ends the one before.
        _ = frames.outputs
        #expect(await results.next() == nil)
    }

    @Test func aBatchIsBoundedAndInOrder() async throws {
        let model = try await open()
        let gauge = Gauge()
        let results = model.run(images: 0..<20) { i in
            gauge.enter()
            defer { gauge.leave() }
            // Later images are ready sooner.
            try await Task.sleep(for: .milliseconds(i % 2 == 0 ? 12 : 2))
            if i == 7 { throw MobileNetV4.Failure.badImage("image 7") }
            return Blank(width: 10 + i, height: i == 9 ? 0 : 10)
        }
        var found: [String] = []
        for await result in results {
            do {
                found.append("\(try result.get().top().count)")
            } catch {
                found.append("\(error)")
            }
            #expect(gauge.begun <= found.count + 3)
        }
        var wanted = Array(repeating: "5", count: 20)
        wanted[7] = "image 7"
        wanted[9] = "image: found 19 x 0 pixels, must be 1 x 1 or more"
        #expect(found == wanted)
        #expect(gauge.most > 1 && gauge.most <= 3)
    }

    @Test func aBatchThatIsCancelledBeginsNoMore() async throws {
        let model = try await open()
        let gauge = Gauge()
        let loop = Task {
            var count = 0
            for await _ in model.run(
                images: 0..<1000,
                pixels: { _ in
                    gauge.enter()
                    try await Task.sleep(for: .milliseconds(5))
                    return Blank(width: 9, height: 9)
                })
            { count += 1 }
            return count
        }
        try await Task.sleep(for: .milliseconds(50))
        loop.cancel()
        #expect(await loop.value < 1000)
        let begun = gauge.begun
        try await Task.sleep(for: .milliseconds(50))
        #expect(gauge.begun == begun && begun < 1000)
    }

    @Test func aBatchCountsItsPreprocessing() async throws {
        let model = try await open()
        for await result in model.run(images: [Blank(width: 300, height: 300)], pixels: { $0 }) {
            #expect(try result.get().times.preprocess > 0)
            #expect(
                try result.get().values == (await model.run(Blank(width: 300, height: 300))).values)
        }
    }

    @Test func aModelChecksItself() async throws {
        #expect(try await open().selfCheck() > 20)
        let folder = try Fixtures.copy(Fixtures.float32)
        let bundle = try MobileNetV4.ModelBundle(folder: folder)
        let data = try #require(try bundle.golden(.eager)["logits"])
        try Fixtures.replaceGolden(folder, "golden/eager.logits.bin", Data(data.reversed()))
        let damaged = try MobileNetV4.ModelBundle(folder: folder)
        let model = try await MobileNetV4(bundle: damaged, loader: FakeLoader(damaged))
        let refused = await message { try await model.selfCheck() }
        #expect(refused.contains("output logits:") && refused.contains("must be"))
    }
}

/// What happened to frames.
private final class Log: @unchecked Sendable {
    private let lock = NSLock()
    private var reads: [Int] = []
    private var releases: [Int] = []

    var read: [Int] { lock.withLock { reads } }
    var released: [Int] { lock.withLock { releases } }

    func reads(_ frame: Int) { lock.withLock { if reads.last != frame { reads.append(frame) } } }
    func releases(_ frame: Int) { lock.withLock { releases.append(frame) } }
}

/// A black frame that logs when it is read and when it is released.
private final class Frame: MobileNetV4.PixelSource {
    let width = 16
    let height = 12
    let orientation = MobileNetV4.Orientation.upright
    private let index: Int
    private let log: Log
    private let call: @Sendable () -> Void

    init(_ index: Int, _ log: Log, call: @escaping @Sendable () -> Void = {}) {
        self.index = index
        self.log = log
        self.call = call
    }

    deinit { log.releases(index) }

    func read(
        left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>
    ) {
        log.reads(index)
        call()
        into.update(repeating: 0, count: width * height)
    }
}

/// Counts what is in work.
private final class Gauge: @unchecked Sendable {
    private let lock = NSLock()
    private var values = (now: 0, most: 0, begun: 0)

    var most: Int { lock.withLock { values.most } }
    var begun: Int { lock.withLock { values.begun } }

    func enter() {
        lock.withLock {
            values.now += 1
            values.begun += 1
            values.most = max(values.most, values.now)
        }
    }

    func leave() { lock.withLock { values.now -= 1 } }
}
