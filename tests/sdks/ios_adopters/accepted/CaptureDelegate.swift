import AVFoundation
import MobileNetV4Kit

/// Passes the camera's frames to a network, which takes the latest one whenever it is free.
final class CaptureDelegate: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    private let frames: MobileNetV4.FrameClassifier

    init(_ frames: MobileNetV4.FrameClassifier) {
        self.frames = frames
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        frames.submit(frame, degrees: 90)
    }
}

/// Shows what the camera sees, until the task ends.
@MainActor
func watch(
    _ frames: MobileNetV4.FrameClassifier, show: ([MobileNetV4.Classification]) -> Void
) async {
    for await result in frames.outputs {
        if let outputs = try? result.get(), let top = try? outputs.top(3, threshold: 0.2) {
            show(top)
        }
    }
}
