import AVFoundation
import MobileNetV4Kit

/// Classifies the camera's frames, one at a time.
final class CaptureDelegate: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate,
    @unchecked Sendable
{
    private let network: MobileNetV4
    private let show: @MainActor ([MobileNetV4.Classification]) -> Void
    private let lock = NSLock()
    private var isBusy = false

    init(_ network: MobileNetV4, show: @escaping @MainActor ([MobileNetV4.Classification]) -> Void)
    {
        self.network = network
        self.show = show
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let frame = CMSampleBufferGetImageBuffer(sampleBuffer),
            let image = try? MobileNetV4.Images.pixels(of: frame, degrees: 90), begin()
        else { return }
        Task {
            if let top = try? await network.classify(image) { await show(top) }
            lock.withLock { isBusy = false }
        }
    }

    private func begin() -> Bool {
        lock.withLock {
            defer { isBusy = true }
            return !isBusy
        }
    }
}
