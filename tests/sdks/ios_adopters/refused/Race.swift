import AVFoundation
import MobileNetV4Kit

/// Submits a frame in a task and writes to it at the same time.
final class Race: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    let frames: MobileNetV4.FrameClassifier

    init(_ frames: MobileNetV4.FrameClassifier) {
        self.frames = frames
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        Task { [frames] in  // error: passing closure as a 'sending' parameter
            frames.submit(frame)
        }
        CVPixelBufferLockBaseAddress(frame, [])
    }
}
