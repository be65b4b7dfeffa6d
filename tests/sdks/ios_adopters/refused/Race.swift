import AVFoundation
import MobileNetV4Kit

/// Classifies a frame in a task and writes to it at the same time.
final class Race: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    let network: MobileNetV4

    init(_ network: MobileNetV4) {
        self.network = network
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        Task { [network] in
            _ = try await network.classify(frame)  // error: sending 'frame'
        }
        CVPixelBufferLockBaseAddress(frame, [])
    }
}
