import Dispatch
import Foundation

/// A network that is loaded and ready.
///
/// Any task may call it; one call at a time runs, on a thread of its own, so that none of Swift's
/// few waits for a network. The buffers of the input and of the resizing are kept from call to
/// call. Under memory pressure the runtime is let go; the next call loads it again.
public actor MobileNetV4 {
    /// What it was made from.
    public nonisolated let manifest: Manifest
    /// How long the runtime took to load the artifact, in milliseconds.
    public private(set) var loadMs: Double

    private let loader: any SessionLoader
    private let preprocessor: Preprocessor
    private var session: (any Session)?
    private let thread: SerialThread
    private var observer: Observer?

    /// A network of a bundle that was checked.
    ///
    /// - Parameters:
    ///   - manifest: The bundle's.
    ///   - loader: Loads the runtime; once more after ``unload()``.
    ///   - unloadOn: The notification that the system posts when memory runs out.
    /// - Throws: ``MNV4Error``: what is wrong with the bundle or the runtime.
    public init(
        manifest: Manifest, loader: any SessionLoader, unloadOn: Notification.Name? = nil
    ) async throws {
        self.manifest = manifest
        self.loader = loader
        thread = SerialThread(label: "mnv4.\(manifest.id)")
        preprocessor = try Preprocessor(spec: manifest.preprocess, input: manifest.input)
        loadMs = 0
        _ = try await loaded()
        observer = unloadOn.map { name in
            Observer(name) { [weak self] in
                guard let self else { return }
                Task { await self.unload() }
            }
        }
    }

    /// The thread that all of it runs on.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// Name and version of the runtime.
    public var runtime: String {
        get async throws { try await loaded().runtime }
    }

    /// The most probable classes of a picture, the most probable first.
    ///
    /// - Throws: ``MNV4Error``: what went wrong.
    public func classify(_ picture: any PixelSource, top: Int = 5) async throws -> [Classification]
    {
        try await run(picture).top(top)
    }

    /// All outputs for a picture.
    ///
    /// - Throws: ``MNV4Error``: what went wrong.
    public func run(_ picture: any PixelSource) async throws -> Outputs {
        try await timed { session in
            try preprocessor.prepare(picture) { try session.feed($0) }
        }
    }

    /// All outputs for pixels that have the network's size already: RGB, row by row.
    ///
    /// - Throws: ``MNV4Error``: what went wrong.
    public func runPixels(_ pixels: [UInt8]) async throws -> Outputs {
        try await timed { session in
            try preprocessor.feed(pixels) { try session.feed($0) }
        }
    }

    /// Runs it once on a black picture: runtimes put off work to the first run.
    ///
    /// - Throws: ``MNV4Error``: what went wrong.
    public func prewarm() async throws {
        let size = manifest.preprocess
        _ = try await runPixels(Array(repeating: 0, count: size.height * size.width * 3))
    }

    /// Lets the runtime and its memory go; the next call loads it again.
    public func unload() {
        session = nil
    }

    private func timed(_ prepare: (any Session) throws -> Void) async throws -> Outputs {
        let session = try await loaded()
        let begin = DispatchTime.now()
        try prepare(session)
        let prepared = DispatchTime.now()
        let values = try session.run()
        return Outputs(
            manifest: manifest, values: values,
            times: Outputs.Times(
                preprocess: prepared.ms(since: begin),
                network: DispatchTime.now().ms(since: prepared)))
    }

    private func loaded() async throws -> any Session {
        if let session { return session }
        let begin = DispatchTime.now()
        let opened = try await loader.load()
        loadMs = DispatchTime.now().ms(since: begin)
        session = opened
        return opened
    }
}

extension Notification.Name {
    /// What UIKit posts when memory runs out; by its text, as nothing else here needs UIKit.
    public static let memoryWarning = Notification.Name(
        "UIApplicationDidReceiveMemoryWarningNotification")
}

/// Calls back whenever a notification is posted, as long as it lives.
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
