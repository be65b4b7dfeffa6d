import MobileNetV4Kit
import PhotosUI
import SwiftUI

/// Classifies a picture of the photo library.
struct PhotoScreen: View {
    @EnvironmentObject private var classifier: Classifier
    @State private var item: PhotosPickerItem?
    @State private var image: UIImage?
    @State private var outputs: MobileNetV4.Outputs?
    @State private var failure: String?

    var body: some View {
        NavigationStack {
            ScrollView {
                VStack(spacing: 16) {
                    if let image {
                        Image(uiImage: image)
                            .resizable()
                            .scaledToFit()
                            .clipShape(RoundedRectangle(cornerRadius: 12))
                            .accessibilityLabel("The chosen picture")
                    }
                    if let failure {
                        Label(failure, systemImage: "exclamationmark.triangle")
                    } else if let outputs, let top = try? outputs.top(5) {
                        Predictions(top: top)
                        Latency(times: outputs.times)
                    } else if classifier.network == nil {
                        Waiting(state: classifier.state)
                    }
                }
                .padding()
            }
            .navigationTitle("Photo")
            .toolbar {
                PhotosPicker(selection: $item, matching: .images) {
                    Label("Choose a picture", systemImage: "photo.badge.plus")
                }
            }
        }
        .task(id: request) { await classify() }
    }

    /// What the outputs on the screen are for.
    private struct Request: Equatable {
        let item: PhotosPickerItem?
        let choice: Choice
        let isReady: Bool
    }

    private var request: Request {
        Request(item: item, choice: classifier.choice, isReady: classifier.network != nil)
    }

    private func classify() async {
        guard let item, let network = classifier.network else { return }
        (outputs, failure) = (nil, nil)
        do {
            guard let data = try await item.loadTransferable(type: Data.self) else {
                throw MobileNetV4.Failure.badImage("The picture cannot be loaded.")
            }
            // As large as a screen; the network gets its own pixels.
            image = await UIImage(data: data)?.byPreparingThumbnail(
                ofSize: CGSize(width: 1024, height: 1024))
            let pixels = try await Task.detached { try MobileNetV4.Images.decode(data) }.value
            let found = try await network.run(pixels)
            try Task.checkCancellation()  // another image or model may have been chosen
            outputs = found
        } catch is CancellationError {
            return
        } catch {
            failure = error.localizedDescription
        }
    }
}
