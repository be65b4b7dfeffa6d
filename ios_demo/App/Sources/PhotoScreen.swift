import MobileNetV4Kit
import PhotosUI
import SwiftUI

/// Classifies a picture of the photo library.
struct PhotoScreen: View {
    let thermal: MobileNetV4.ThermalStatus?
    @EnvironmentObject private var classifier: Classifier
    @State private var item: PhotosPickerItem?
    @State private var photo = Photo()

    var body: some View {
        NavigationStack {
            PhotoView(
                photo: photo, state: classifier.state, thermal: thermal,
                spec: classifier.network?.manifest.preprocess
            )
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
        photo = Photo(image: photo.image)
        do {
            guard let data = try await item.loadTransferable(type: Data.self) else {
                throw MobileNetV4.Failure.badImage(
                    String(localized: "The picture cannot be loaded."))
            }
            // As large as a screen; the network gets its own pixels.
            photo.image = await UIImage(data: data)?.byPreparingThumbnail(
                ofSize: CGSize(width: 1024, height: 1024))
            let pixels = try await Task.detached { try MobileNetV4.Images.decode(data) }.value
            let found = try await network.run(pixels)
            try Task.checkCancellation()  // another image or model may have been chosen
            photo.viewfinder = Viewfinder(pixels)
            photo.reading = Reading(top: try found.top(5), times: found.times)
        } catch is CancellationError {
            return
        } catch {
            photo.failure = error.localizedDescription
        }
    }
}

/// What was found in a picture.
struct Photo {
    /// The picture, as large as a screen; nil before one is chosen.
    var image: UIImage?
    /// The size of the picture that was classified.
    var viewfinder: Viewfinder?
    /// What it shows; nil before it was classified.
    var reading: Reading?
    /// Why nothing was found.
    var failure: String?
}

/// The picture with the part that the network sees, and what that part shows.
struct PhotoView: View {
    let photo: Photo
    let state: Classifier.State
    let thermal: MobileNetV4.ThermalStatus?
    let spec: MobileNetV4.PreprocessSpec?

    var body: some View {
        Split {
            if let image = photo.image {
                Image(uiImage: image)
                    .resizable()
                    .scaledToFit()
                    .overlay { CropBox(viewfinder: photo.viewfinder, spec: spec) }
                    .accessibilityLabel("The chosen picture")
            }
        } results: {
            if photo.image == nil, photo.failure == nil, case .ready = state {
                Text("Choose a picture to classify it.")
            } else {
                Results(
                    reading: photo.reading, failure: photo.failure, state: state, thermal: thermal)
            }
        }
    }
}
