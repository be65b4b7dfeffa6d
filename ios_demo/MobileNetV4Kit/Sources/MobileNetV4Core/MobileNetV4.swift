import Dispatch
import Foundation

/// A network that is loaded and ready.
///
/// Any task may call it. Calls run one at a time on a thread of their own, so that none of Swift's
/// few threads waits for a network, and the next call begins only when an asynchronous runtime is
/// done. The buffers of the input and of the resizing are kept from call to call. Under memory
/// pressure the runtime is unloaded when no call needs it; the next call loads it again. A call whose
/// task is cancelled throws `CancellationError` and stops before loading, preparing or running.
public actor MobileNetV4 {
    /// The manifest of the bundle that it was opened from.
    public nonisolated var manifest: Manifest { bundle.manifest }
    /// What affects the figures of a measurement, as the loader says.
    nonisolated var conditions: [String: Condition] { loader.conditions }
    /// The units that run it and why the others do not, if it was opened with ``Units/auto``.
    public nonisolated let choice: UnitChoice?
    /// Returns the units that run any operator, as the loader says.
    nonisolated func ranOn() async -> [Plan.Unit] { await loader.ranOn() }
    /// How long the runtime took to load the artifact, in milliseconds.
    public private(set) var loadMs: Double

    private let bundle: ModelBundle
    private let loader: any SessionLoader
    private let preprocessor: Preprocessor
    private var session: (any Session)?
    private var loading: Task<Void, any Error>?
    private var calls = 0
    private var isRunning = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var unloading: Duration?
    private var restUntil: ContinuousClock.Instant?
    private let thread: SerialThread
    private var observer: Observer?

    /// Loads the network of a bundle that was checked.
    ///
    /// - Parameters:
    ///   - bundle: The bundle.
    ///   - loader: Loads the artifact, and again after ``unload()``.
    ///   - unloadOn: The notification that the system posts when memory runs out.
    ///   - choice: The choice by which the loader got its units; nil if there was none.
    /// - Throws: ``Failure`` if the bundle cannot be used or the runtime fails.
    public init(
        bundle: ModelBundle, loader: any SessionLoader, unloadOn: Notification.Name? = nil,
        choice: UnitChoice? = nil
    ) async throws {
        self.bundle = bundle
        self.loader = loader
        self.choice = choice
        let manifest = bundle.manifest
        thread = SerialThread(label: "mnv4.\(manifest.id)")
        preprocessor = try Preprocessor(spec: manifest.preprocess, input: manifest.input)
        loadMs = 0
        _ = try await loaded()
        observer = unloadOn.map { name in
            Observer(name) { [weak self] in
                guard let self else { return }
                Task { await self.unload(rest: Self.rest) }
            }
        }
    }

    /// The thread that all calls run on.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// Name and version of the runtime.
    public var runtime: String {
        get async throws { try await loaded().runtime }
    }

    /// Returns the most probable classes of an image, as ``Outputs/top(_:threshold:allow:)`` does.
    ///
    /// - Parameters:
    ///   - image: The image.
    ///   - top: The number of classes.
    ///   - threshold: The lowest probability of a class that is returned.
    ///   - allow: The labels of the classes that may be returned; nil for all.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        _ image: any PixelSource, top: Int = 5, threshold: Float = 0, allow: Set<String>? = nil
    ) async throws -> [Classification] {
        try await run(image).top(top, threshold: threshold, allow: allow)
    }

    /// Returns all outputs for an image.
    ///
    /// - Throws: ``Failure`` if anything goes wrong.
    public func run(_ image: any PixelSource) async throws -> Outputs {
        try await timed { session in
            try preprocessor.prepare(image) { try session.feed($0) }
        }
    }

    /// Returns all outputs for an image that is decoded on this actor's thread.
    package func run(decoding image: () throws -> any PixelSource) async throws -> Outputs {
        try Task.checkCancellation()
        return try await run(image())
    }

    /// Returns all outputs for RGB pixels, row by row, that have the network's size already.
    ///
    /// - Parameters:
    ///   - pixels: The pixels.
    ///   - spent: How long it took to prepare them, in milliseconds.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func runPixels(_ pixels: [UInt8], spent: Double = 0) async throws -> Outputs {
        try await timed(spent: spent) { session in
            try preprocessor.feed(pixels) { try session.feed($0) }
        }
    }

    /// Runs the bundle's golden images and compares the outputs with the float model's.
    ///
    /// - Returns: The signal to quantization noise ratio of the worst output in dB.
    /// - Throws: ``Failure/wrongOutput(_:)`` if it is less than the bundle demands; another
    ///   ``Failure`` if anything else goes wrong.
    public func selfCheck() async throws -> Double {
        try await Golden(bundle).check(self)
    }

    /// Runs the network once on a black image, because runtimes defer work to the first run.
    ///
    /// - Throws: ``Failure`` if anything goes wrong.
    public func prewarm() async throws {
        let size = manifest.preprocess
        _ = try await runPixels(Array(repeating: 0, count: size.height * size.width * 3))
    }

    /// Releases the runtime and its memory when no call needs it; the next call loads it again.
    public func unload() {
        unload(rest: .zero)
    }

    /// The pause between unloading under memory pressure and loading again, in which other parts of
    /// the app release memory too.
    private static let rest = Duration.milliseconds(500)

    private func unload(rest: Duration) {
        unloading = rest
        unloadIfIdle()
    }

    private func unloadIfIdle() {
        guard let rest = unloading, calls == 0 else { return }
        unloading = nil
        session = nil
        restUntil = ContinuousClock.now + rest
    }

    private func timed(
        spent: Double = 0, _ prepare: (any Session) throws -> Void
    ) async throws -> Outputs {
        // Counted, so that the session stays loaded until this returns.
        calls += 1
        defer {
            calls -= 1
            unloadIfIdle()
        }
        try Task.checkCancellation()
        let session = try await loaded()
        await beginRun()
        defer { endRun() }
        try Task.checkCancellation()
        let begin = DispatchTime.now()
        try prepare(session)
        let prepared = DispatchTime.now()
        try Task.checkCancellation()
        let values = try await checked(session.run(on: self))
        return Outputs(
            manifest: manifest, values: values,
            times: Outputs.Times(
                preprocess: spent + prepared.ms(since: begin),
                network: DispatchTime.now().ms(since: prepared)))
    }

    /// Returns a session's outputs if they are those of the manifest: what reads them later relies on
    /// their number and lengths.
    private func checked(_ values: [[Float]]) throws -> [[Float]] {
        let outputs = manifest.outputs
        guard values.count == outputs.count else {
            throw Failure.runtimeFailed(
                "\(manifest.id): the runtime gave \(values.count) outputs, must be \(outputs.count)"
            )
        }
        for (output, values) in zip(outputs, values) where values.count != output.count {
            throw Failure.runtimeFailed(
                "\(manifest.id): output \(output.name): the runtime gave \(values.count) values, "
                    + "must be \(output.count) for the shape \(output.shape)")
        }
        return values
    }

    /// Waits until no other call uses the session: other calls enter an actor that is suspended.
    private func beginRun() async {
        if isRunning {
            await withCheckedContinuation { waiting.append($0) }
        } else {
            isRunning = true
        }
    }

    /// Hands the session to the call that waits longest.
    private func endRun() {
        if waiting.isEmpty {
            isRunning = false
        } else {
            waiting.removeFirst().resume()
        }
    }

    private func loaded() async throws -> any Session {
        while true {
            if let session { return session }
            // One load for all callers, in a task of its own: a caller that is cancelled does not
            // take the others with it.
            let task = loading ?? Task { try await load() }
            loading = task
            try await task.value
        }
    }

    private func load() async throws {
        defer { loading = nil }
        if let restUntil { try await Task.sleep(until: restUntil, clock: .continuous) }
        let begin = DispatchTime.now()
        session = try await loader.load()
        loadMs = DispatchTime.now().ms(since: begin)
    }
}

extension Notification.Name {
    /// The notification that UIKit posts when memory runs out. Its name avoids importing UIKit.
    public static let memoryWarning = Notification.Name(
        "UIApplicationDidReceiveMemoryWarningNotification")
}

/// Calls back for every notification with a name until it is released.
final class Observer: @unchecked Sendable {  // the token is never changed
    private let token: any NSObjectProtocol

    init(_ name: Notification.Name, _ call: @escaping @Sendable () -> Void) {
        token = NotificationCenter.default.addObserver(forName: name, object: nil, queue: nil) {
            _ in
            call()
        }
    }

    deinit {
        NotificationCenter.default.removeObserver(token)
    }
}

/// Runs an actor's work on a thread that may wait.
final class SerialThread: SerialExecutor {
    let queue: DispatchQueue

    init(label: String) {
        queue = DispatchQueue(label: label, qos: .userInitiated)
    }

    func enqueue(_ job: UnownedJob) {
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }
}

extension DispatchTime {
    func ms(since begin: DispatchTime) -> Double {
        Double(uptimeNanoseconds - begin.uptimeNanoseconds) / 1e6
    }
}
