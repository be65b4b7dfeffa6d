@preconcurrency import AVFoundation
import MobileNetV4Kit
import SwiftUI

/// The back camera, whose frames are classified one after the other.
@MainActor
final class Camera: ObservableObject {
    /// Why there are no frames.
    enum Obstacle {
        /// The user does not let the app use the camera.
        case denied
        /// The device has no such camera.
        case missing
    }

    /// What the screen shows.
    struct Findings {
        /// What the last frames show, smoothed; nil before the first one.
        var reading: Reading?
        /// Why the last frame shows nothing.
        var failure: String?
        /// Why there are no frames.
        var obstacle: Obstacle?
        /// The upright frames; nil before the camera runs.
        var viewfinder: Viewfinder?
    }

    /// What was found so far.
    @Published private(set) var findings = Findings()
    /// The camera; nil before it is used.
    @Published private(set) var device: AVCaptureDevice?

    let session = AVCaptureSession()
    private let classifier = MobileNetV4.FrameClassifier()
    private lazy var frames = Frames(classifier)
    private let queue = DispatchQueue(label: "mnv4.camera")

    /// Classifies frames with a network until the task ends, as it does for the next network.
    func classify(with network: MobileNetV4?) async {
        (findings.reading, findings.failure) = (nil, nil)
        classifier.use(network)
        var smoothing = Smoothing(labels: network?.manifest.labels)
        for await result in classifier.outputs where !Task.isCancelled {
            do {
                let outputs = try result.get()
                _ = try outputs.top(1)  // says what is wrong with a network without classes
                smoothing.add(
                    outputs.probabilities ?? [], at: ProcessInfo.processInfo.systemUptime)
                findings.reading = Reading(top: smoothing.top(3), times: outputs.times)
                findings.failure = nil
            } catch {
                findings.failure = error.localizedDescription
            }
        }
    }

    /// Starts the camera at a pace, if the user lets it.
    func run(_ pace: Pace) async {
        frames.use(pace)
        if pace == .paused { return stop() }
        let isAllowed = await AVCaptureDevice.requestAccess(for: .video)
        if Task.isCancelled { return }  // another screen or pace may have been chosen
        guard isAllowed else { return findings.obstacle = .denied }
        if device == nil {
            device = configure()
            turn(.portrait)
        }
        guard device != nil else { return findings.obstacle = .missing }
        findings.obstacle = nil
        limit(pace.cameraRate)
        // It blocks until the camera runs; a session may be started on any thread.
        nonisolated(unsafe) let session = session
        queue.async { session.startRunning() }
    }

    /// Stops it.
    func stop() {
        nonisolated(unsafe) let session = session
        queue.async { session.stopRunning() }
    }

    /// Turns the frames from the next one on.
    func turn(_ turn: Turn) {
        guard let device else { return }
        frames.use(turn)
        let size = CMVideoFormatDescriptionGetDimensions(device.activeFormat.formatDescription)
        findings.viewfinder = Viewfinder(
            width: Int(size.width), height: Int(size.height), turn: turn)
    }

    /// Limits the frames per second that the camera itself takes; nil ends the limit.
    private func limit(_ rate: Int32?) {
        guard let device, (try? device.lockForConfiguration()) != nil else { return }
        defer { device.unlockForConfiguration() }
        let wanted = rate.map { CMTime(value: 1, timescale: $0) } ?? .invalid
        let isSupported = device.activeFormat.videoSupportedFrameRateRanges.contains {
            $0.minFrameDuration <= wanted && wanted <= $0.maxFrameDuration
        }
        // The camera refuses other durations with an exception, which Swift cannot catch.
        let duration = isSupported ? wanted : .invalid
        device.activeVideoMinFrameDuration = duration
        device.activeVideoMaxFrameDuration = duration
    }

    private func configure() -> AVCaptureDevice? {
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
        guard
            let device = AVCaptureDevice.default(
                .builtInWideAngleCamera, for: .video, position: .back),
            let input = try? AVCaptureDeviceInput(device: device),
            session.canAddInput(input), session.canAddOutput(output)
        else { return nil }
        session.addInput(input)
        session.addOutput(output)
        if session.isMultitaskingCameraAccessSupported {  // beside another app on an iPad
            session.isMultitaskingCameraAccessEnabled = true
        }
        return device
    }
}

/// Passes on the camera's frames, at a pace and with the turn that makes them upright.
final class Frames: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate,
    @unchecked Sendable  // the lock protects all variables
{
    private let classifier: MobileNetV4.FrameClassifier
    private let lock = NSLock()
    private var gate = Gate()
    private var turn = Turn.portrait

    init(_ classifier: MobileNetV4.FrameClassifier) {
        self.classifier = classifier
    }

    func use(_ pace: Pace) {
        lock.withLock { gate.pace = pace }
    }

    func use(_ turn: Turn) {
        lock.withLock { self.turn = turn }
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        let seconds = CMSampleBufferGetPresentationTimeStamp(sampleBuffer).seconds
        let degrees = lock.withLock { gate.admits(seconds) ? turn.degrees : nil }
        if let degrees { classifier.submit(frame, degrees: degrees) }
    }
}
