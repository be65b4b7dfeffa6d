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
                    await MobileNetV4.Benchmark.coreML.runIfLaunchedForJob()
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

    var body: some View {
        TabView {
            CameraScreen().tabItem { Label("Camera", systemImage: "camera") }
            PhotoScreen().tabItem { Label("Photo", systemImage: "photo") }
            BenchmarkScreen().tabItem { Label("Benchmark", systemImage: "stopwatch") }
            SettingsScreen().tabItem { Label("Model", systemImage: "slider.horizontal.3") }
        }
        .task(id: classifier.choice) { await classifier.open() }
    }
}
