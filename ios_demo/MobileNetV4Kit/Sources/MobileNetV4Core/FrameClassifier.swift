import Foundation

extension MobileNetV4 {
    /// Runs a network on the frames of a camera: on the latest one whenever the network is free.
    ///
    /// The capture delegate passes each frame to ``submit(_:)``, which never waits. A screen reads
    /// the results:
    ///
    /// ```swift
    /// let frames = MobileNetV4.FrameClassifier(model)
    /// for await result in frames.outputs { show(result) }
    /// ```
    ///
    /// At most one frame waits. It is released as soon as a later one replaces it.
    public final class FrameClassifier: @unchecked Sendable {  // the lock protects all variables
        private let lock = NSLock()
        private var model: MobileNetV4?
        private var waiting: Result<any PixelSource, any Error>?
        private var wake: AsyncStream<Void>.Continuation?

        /// Makes a classifier for a network; nil if there is none yet.
        public init(_ model: MobileNetV4? = nil) {
            self.model = model
        }

        /// Runs another network from now on; nil for none. ``outputs`` drops a result of the
        /// network before, also if that network still runs.
        public func use(_ model: MobileNetV4?) {
            lock.withLock {
                self.model = model
                if model == nil { waiting = nil }
            }
        }

        /// Submits a frame, and replaces the one that waits. It never waits itself.
        ///
        /// A frame that comes while there is no network, or no loop that reads ``outputs``, is
        /// dropped.
        public func submit(_ image: any PixelSource) {
            submit(.success(image))
        }

        /// Submits a frame, or the reason why it cannot be read.
        package func submit(_ image: Result<any PixelSource, any Error>) {
            var frame: Result<any PixelSource, any Error>? = image
            lock.withLock {
                swap(&waiting, &frame)  // The old frame is released after the lock.
                guard model != nil, let wake else { return waiting = nil }
                if case .terminated = wake.yield() { waiting = nil }
            }
        }

        /// The results for the frames, in their order, for one loop. A loop that begins later ends
        /// this one.
        ///
        /// A frame that fails gives an error, and the next one is tried. Cancelling the loop's task
        /// ends it, and another loop may begin.
        public var outputs: AsyncStream<Result<Outputs, any Error>> {
            let (wakes, wake) = AsyncStream.makeStream(
                of: Void.self, bufferingPolicy: .bufferingNewest(1))
            lock.withLock {
                self.wake?.finish()
                self.wake = wake
            }
            return AsyncStream { [self] in
                for await _ in wakes {
                    guard let (image, model) = next() else { continue }
                    let result: Result<Outputs, any Error>
                    do {
                        result = .success(try await model.run(image.get()))
                    } catch {
                        result = .failure(error)
                    }
                    if Task.isCancelled { return nil }
                    if lock.withLock({ self.model === model }) { return result }
                }
                return nil
            }
        }

        private func next() -> (Result<any PixelSource, any Error>, MobileNetV4)? {
            lock.withLock {
                defer { waiting = nil }
                guard let waiting, let model else { return nil }
                return (waiting, model)
            }
        }
    }
}
