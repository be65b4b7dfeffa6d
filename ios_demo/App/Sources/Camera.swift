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
    /// Whether the user does not let the app use the camera.
    @Published private(set) var isDenied = false

    let session = AVCaptureSession()
    private let classifier = MobileNetV4.FrameClassifier()
    private lazy var frames = Frames(classifier)
    private let queue = DispatchQueue(label: "mnv4.camera")

    /// Classifies frames with a network until the task ends, as it does for the next network.
    func classify(with network: MobileNetV4?) async {
        outputs = nil
        classifier.use(network)
        for await result in classifier.outputs where !Task.isCancelled {
            switch result {
            case .success(let found): (outputs, failure) = (found, nil)
            case .failure(let error): failure = error.localizedDescription
            }
        }
    }

    /// Starts the camera, if the user lets it.
    func run() async {
        guard await AVCaptureDevice.requestAccess(for: .video) else {
            (failure, isDenied) = ("The app may not use the camera.", true)
            return
        }
        (failure, isDenied) = (nil, false)
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

/// Passes on the camera's frames, which the sensor, lying across the phone, gives turned.
final class Frames: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    private let classifier: MobileNetV4.FrameClassifier

    init(_ classifier: MobileNetV4.FrameClassifier) {
        self.classifier = classifier
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        classifier.submit(frame, degrees: 90)  // the app is upright only
    }
}
