import Dispatch
import Foundation

extension MobileNetV4 {
    /// Returns the outputs for many images, in their order.
    ///
    /// While the network runs, the next images are decoded and resized on other threads. At most
    /// three images are in work at a time. Cancelling the task that reads the stream ends it.
    ///
    /// ```swift
    /// for await result in model.run(images: ids, pixels: { try await photo($0) }) { ... }
    /// ```
    ///
    /// - Parameters:
    ///   - images: The images, or what identifies them.
    ///   - pixels: Decodes one of them. An error that it throws is the result for this image, and
    ///     the next one is tried.
    public nonisolated func run<Element: Sendable>(
        images: some Sequence<Element>,
        pixels: @escaping @Sendable (Element) async throws -> any PixelSource
    ) -> AsyncStream<Result<Outputs, any Error>> {
        let batch = Batch(Array(images)) { [self] element in
            do {
                return Result<Outputs, any Error>.success(
                    try await runResized(try await pixels(element)))
            } catch {
                return .failure(error)
            }
        }
        return AsyncStream(unfolding: { await batch.next() }, onCancel: { batch.cancel() })
    }

    /// Resizes an image on the caller's thread, not on this actor's.
    private nonisolated func runResized(_ image: any PixelSource) async throws -> Outputs {
        try Task.checkCancellation()
        let begin = DispatchTime.now()
        let pixels = try Preprocessor.resized(image, manifest.preprocess)
        return try await runPixels(pixels, spent: DispatchTime.now().ms(since: begin))
    }
}

/// Does work on the elements of a list: on a few at a time, with the results in order.
private final class Batch<Element: Sendable, Value: Sendable>: @unchecked Sendable {
    private static var limit: Int { 3 }

    private let elements: [Element]
    private let work: @Sendable (Element) async -> Value
    private let lock = NSLock()  // It protects the variables.
    private var begun = 0
    private var tasks: [Task<Value, Never>] = []

    init(_ elements: [Element], work: @escaping @Sendable (Element) async -> Value) {
        self.elements = elements
        self.work = work
    }

    deinit { cancel() }

    /// Returns the next result; nil after the last one.
    func next() async -> Value? {
        guard let first = lock.withLock({ begin() }) else { return nil }
        let value = await first.value
        lock.withLock { if tasks.first == first { tasks.removeFirst() } }
        return Task.isCancelled ? nil : value
    }

    /// Begins work up to the limit, and returns the first that was begun.
    private func begin() -> Task<Value, Never>? {
        while tasks.count < Self.limit, begun < elements.count {
            tasks.append(Task { [work, element = elements[begun]] in await work(element) })
            begun += 1
        }
        return tasks.first
    }

    /// Begins no more work, and cancels what was begun.
    func cancel() {
        lock.withLock {
            begun = elements.count
            for task in tasks { task.cancel() }
            tasks = []
        }
    }
}
