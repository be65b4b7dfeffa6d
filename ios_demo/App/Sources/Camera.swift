@preconcurrency import AVFoundation
import MobileNetV4Kit
import SwiftUI

/// The back camera, whose frames are classified one after the other.
@MainActor
final class Camera: ObservableObject {
    /// The outputs of the last frame.
    @Published private(set) var outputs: MobileNetV4.Outputs?
    /// Why there are none.
    @Published private(set) var failure: String?

    let session = AVCaptureSession()
    private let frames = Frames()
    private let queue = DispatchQueue(label: "mnv4.camera")

    /// Shows frames to this network from now on.
    func use(_ network: MobileNetV4?) {
        outputs = nil
        frames.use(network) { [weak self] result in
            self?.show(result)
        }
    }

    private func show(_ result: Result<MobileNetV4.Outputs, any Error>) {
        switch result {
        case .success(let found): (outputs, failure) = (found, nil)
        case .failure(let error): failure = error.localizedDescription
        }
    }

    /// Starts the camera, if the user lets it.
    func run() async {
        guard await AVCaptureDevice.requestAccess(for: .video) else {
            failure = "The app may not use the camera: Settings > Privacy & Security > Camera."
            return
        }
        if session.inputs.isEmpty {
            guard configure() else {
                failure = "There is no camera."
                return
            }
        }
        // It blocks until the camera runs; a session may be started on any thread.
        nonisolated(unsafe) let session = session
        queue.async { session.startRunning() }
    }

    /// Stops it.
    func stop() {
        nonisolated(unsafe) let session = session
        queue.async { session.stopRunning() }
    }

    private func configure() -> Bool {
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        let output = AVCaptureVideoDataOutput()
        // What cameras give; anything else would be converted on the way.
        output.videoSettings = [
            kCVPixelBufferPixelFormatTypeKey as String:
                kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
        ]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(frames, queue: queue)
        session.sessionPreset = .vga640x480
        guard let device = AVCaptureDevice.default(for: .video),
            let input = try? AVCaptureDeviceInput(device: device),
            session.canAddInput(input), session.canAddOutput(output)
        else { return false }
        session.addInput(input)
        session.addOutput(output)
        return true
    }
}

/// Hands frames to a network, and drops those that come while it is busy.
final class Frames: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    /// Receives the outputs of a frame, or why there are none.
    typealias Tell = @MainActor (Result<MobileNetV4.Outputs, any Error>) -> Void

    private let lock = NSLock()
    private var network: MobileNetV4?
    private var tell: Tell?
    private var isBusy = false

    func use(_ network: MobileNetV4?, tell: @escaping Tell) {
        lock.withLock { (self.network, self.tell) = (network, tell) }
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer), let (network, tell) = begin()
        else { return }
        // The sensor lies across the phone, and the app is upright only.
        let picture = Result { try MobileNetV4.Images.pixels(of: frame, degrees: 90) }
        Task {
            let result: Result<MobileNetV4.Outputs, any Error>
            do {
                result = .success(try await network.run(picture.get()))
            } catch {
                result = .failure(error)
            }
            await tell(result)
            end()
        }
    }

    private func begin() -> (MobileNetV4, Tell)? {
        lock.withLock {
            guard !isBusy, let network, let tell else { return nil }
            isBusy = true
            return (network, tell)
        }
    }

    private func end() {
        lock.withLock { isBusy = false }
    }
}
