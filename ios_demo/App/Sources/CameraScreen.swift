import MobileNetV4Kit
import SwiftUI
import UIKit

/// Classifies what the camera sees, as fast as the network is.
struct CameraScreen: View {
    let thermal: MobileNetV4.ThermalStatus?
    @EnvironmentObject private var classifier: Classifier
    @StateObject private var camera = Camera()

    var body: some View {
        CameraView(
            findings: camera.findings, state: classifier.state, thermal: thermal,
            spec: classifier.network?.manifest.preprocess
        ) {
            if let device = camera.device {
                CameraPreview(session: camera.session, device: device, turned: camera.turn)
            }
        }
        .task(id: Pace(thermal)) { await camera.run(Pace(thermal)) }
        .task(id: classifier.network.map(ObjectIdentifier.init)) {
            await camera.classify(with: classifier.network)
        }
        .onDisappear { camera.stop() }
    }
}

/// The camera's picture with the part that the network sees, and what that part shows.
struct CameraView<Picture: View>: View {
    let findings: Camera.Findings
    let state: Classifier.State
    let thermal: MobileNetV4.ThermalStatus?
    let spec: MobileNetV4.PreprocessSpec?
    @ViewBuilder let picture: Picture

    var body: some View {
        Split {
            ZStack {
                Color.black
                picture.overlay { CropBox(viewfinder: findings.viewfinder, spec: spec) }
            }
            .accessibilityElement(children: .ignore)
            .accessibilityLabel("Camera")
        } results: {
            PaceLabel(pace: Pace(thermal))
            switch findings.obstacle {
            case .denied:
                FailureLabel(String(localized: "The app may not use the camera."))
                if let settings = URL(string: UIApplication.openSettingsURLString) {
                    Link("Open Settings", destination: settings)
                }
            case .missing: FailureLabel(String(localized: "There is no camera."))
            case nil:
                Results(
                    reading: findings.reading, failure: findings.failure, state: state,
                    thermal: thermal)
            }
        }
    }
}

/// Why a hot device classifies fewer frames.
struct PaceLabel: View {
    let pace: Pace

    var body: some View {
        switch pace {
        case .full: EmptyView()
        case .slow:
            Label(
                "The device is hot: two frames per second are classified.",
                systemImage: "thermometer.high")
        case .paused:
            Label(
                "The device is too hot: the camera pauses until it is cooler.",
                systemImage: "thermometer.high")
        }
    }
}
