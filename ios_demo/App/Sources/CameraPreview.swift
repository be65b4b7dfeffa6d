@preconcurrency import AVFoundation
import SwiftUI
import UIKit

/// The camera's own picture, all of it, upright however the interface is turned.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession
    let device: AVCaptureDevice
    /// Receives the turn of the frames, at first and after each change.
    let turned: @MainActor (Turn) -> Void

    func makeUIView(context: Context) -> PreviewView {
        PreviewView(session: session, device: device, turned: turned)
    }

    func updateUIView(_ view: PreviewView, context: Context) {
        view.setNeedsLayout()
    }
}

/// A view that is nothing but the picture.
final class PreviewView: UIView {
    override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }

    private var picture: AVCaptureVideoPreviewLayer? { layer as? AVCaptureVideoPreviewLayer }
    private let turned: @MainActor (Turn) -> Void
    /// The `RotationCoordinator`; nil before iOS 17.
    private var coordinator: NSObject?
    private var observation: NSKeyValueObservation?

    init(
        session: AVCaptureSession, device: AVCaptureDevice,
        turned: @escaping @MainActor (Turn) -> Void
    ) {
        self.turned = turned
        super.init(frame: .zero)
        picture?.session = session
        picture?.videoGravity = .resizeAspect
        if #available(iOS 17, *) { observe(device) }
    }

    @available(*, unavailable)
    required init?(coder: NSCoder) { nil }

    @available(iOS 17, *)
    private func observe(_ device: AVCaptureDevice) {
        let coordinator = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: layer)
        observation = coordinator.observe(
            \.videoRotationAngleForHorizonLevelPreview, options: [.initial, .new]
        ) { @Sendable [weak self] _, change in
            guard let angle = change.newValue else { return }
            Task { @MainActor [weak self] in
                let connection = self?.picture?.connection
                if connection?.isVideoRotationAngleSupported(angle) == true {
                    connection?.videoRotationAngle = angle
                }
                self?.turned(Turn(angle: Double(angle)))
            }
        }
        self.coordinator = coordinator
    }

    /// Turns the picture on systems that have no coordinator.
    override func layoutSubviews() {
        super.layoutSubviews()
        guard coordinator == nil,
            let interface = window?.windowScene?.interfaceOrientation.rawValue,
            let orientation = AVCaptureVideoOrientation(rawValue: interface),
            let connection = picture?.connection, connection.videoOrientation != orientation
        else { return }
        connection.videoOrientation = orientation
        // Not now, while SwiftUI updates this view.
        Task { turned(Turn(interface: interface)) }
    }
}
