import MobileNetV4Kit
import SwiftUI

/// A picture, and below it, or beside it in a wide window, what it shows, which scrolls.
struct Split<Picture: View, Results: View>: View {
    @ViewBuilder let picture: Picture
    @ViewBuilder let results: Results

    /// The share of the window's longer side that the picture gets at most.
    private let share = 0.6

    var body: some View {
        GeometryReader { window in
            let (width, height) = (window.size.width, window.size.height)
            let isWide = width > height
            // One layout that changes keeps its views, so that the camera does not start anew.
            let layout =
                isWide
                ? AnyLayout(HStackLayout(spacing: 0)) : AnyLayout(VStackLayout(spacing: 0))
            layout {
                picture
                    .frame(
                        maxWidth: isWide ? width * share : .infinity,
                        maxHeight: isWide ? .infinity : height * share
                    )
                    .layoutPriority(1)
                ScrollView {
                    VStack(alignment: .leading, spacing: 8) { results }
                        .padding()
                        .frame(maxWidth: .infinity, alignment: .leading)
                }
            }
        }
    }
}

/// A row, or a column where the row would be too wide, as it is with large text.
struct Flow<Content: View>: View {
    @ViewBuilder let content: Content

    var body: some View {
        ViewThatFits(in: .horizontal) {
            HStack(spacing: 12) { content }
            VStack(alignment: .leading, spacing: 4) { content }
        }
    }
}

/// The outline of what the network sees, over a picture that shows whole upright images.
struct CropBox: View {
    let viewfinder: Viewfinder?
    let spec: MobileNetV4.PreprocessSpec?

    private struct Outline: Shape {
        let viewfinder: Viewfinder
        let spec: MobileNetV4.PreprocessSpec

        func path(in rect: CGRect) -> Path { Path(viewfinder.box(spec, in: rect)) }
    }

    var body: some View {
        if let viewfinder, let spec {
            Outline(viewfinder: viewfinder, spec: spec)
                .stroke(Color.yellow, lineWidth: 2)
                .accessibilityHidden(true)
        }
    }
}
