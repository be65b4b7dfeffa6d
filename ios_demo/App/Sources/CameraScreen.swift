import AVFoundation
import MobileNetV4Kit
import SwiftUI
import UIKit

/// Classifies what the camera sees, as fast as the network is.
struct CameraScreen: View {
    @EnvironmentObject private var classifier: Classifier
    @StateObject private var camera = Camera()

    var body: some View {
        ZStack(alignment: .bottom) {
            CameraPreview(session: camera.session)
                .ignoresSafeArea()
                .accessibilityLabel("Camera")
            VStack(alignment: .leading, spacing: 8) {
                if let failure = camera.failure {
                    Label(failure, systemImage: "exclamationmark.triangle")
                    if camera.isDenied,
                        let settings = URL(string: UIApplication.openSettingsURLString)
                    {
                        Link("Open Settings", destination: settings)
                    }
                } else if let outputs = camera.outputs, let top = try? outputs.top(3) {
                    Predictions(top: top)
                    Latency(times: outputs.times)
                } else {
                    Waiting(state: classifier.state)
                }
            }
            .padding()
            .frame(maxWidth: .infinity, alignment: .leading)
            .background(.regularMaterial)
        }
        .task { await camera.run() }
        .task(id: classifier.network.map(ObjectIdentifier.init)) {
            await camera.classify(with: classifier.network)
        }
        .onDisappear { camera.stop() }
    }
}

/// The camera's own picture.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    /// A view that is nothing but the picture.
    final class PreviewView: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        if let layer = view.layer as? AVCaptureVideoPreviewLayer {
            layer.session = session
            layer.videoGravity = .resizeAspectFill
        }
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {}
}
