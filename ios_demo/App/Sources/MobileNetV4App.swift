import MobileNetV4Kit
import SwiftUI

/// The app; launched with `--mnv4-job` it measures one session and ends.
@main
struct MobileNetV4App: App {
    @StateObject private var classifier = Classifier()

    var body: some Scene {
        WindowGroup {
            if CommandLine.arguments.contains(MobileNetV4.Benchmark.argument) {
                // Nothing else: what is drawn beside it would be in the figures.
                Text("Measuring").task {
                    UIApplication.shared.isIdleTimerDisabled = true
                    await MobileNetV4.Benchmark.onThisDevice.runIfLaunchedForJob()
                }
            } else {
                RootView().environmentObject(classifier)
            }
        }
    }
}

/// The screens.
struct RootView: View {
    @EnvironmentObject private var classifier: Classifier
    @State private var thermal = MobileNetV4.AppleDevice().thermal().status

    private let changes = NotificationCenter.default
        .publisher(for: ProcessInfo.thermalStateDidChangeNotification)
        .receive(on: DispatchQueue.main)

    var body: some View {
        TabView {
            CameraScreen(thermal: thermal).tabItem { Label("Camera", systemImage: "camera") }
            PhotoScreen(thermal: thermal).tabItem { Label("Photo", systemImage: "photo") }
            BenchmarkScreen(thermal: thermal)
                .tabItem { Label("Benchmark", systemImage: "stopwatch") }
            ModelScreen().tabItem { Label("Model", systemImage: "slider.horizontal.3") }
        }
        .task(id: classifier.choice) { await classifier.open() }
        .onReceive(changes) { _ in thermal = MobileNetV4.AppleDevice().thermal().status }
    }
}
