import Charts
import MobileNetV4Kit
import PhotosUI
import SwiftUI

/// Puts labels side by side.
struct FlowLayout: Layout {
    func sizeThatFits(proposal: ProposedViewSize, subviews: Subviews, cache: inout ()) -> CGSize {
        subviews.reduce(into: .zero) { $0.width += $1.sizeThatFits(proposal).width }
    }

    func placeSubviews(
        in bounds: CGRect, proposal: ProposedViewSize, subviews: Subviews, cache: inout ()
    ) {
        for subview in subviews {
            subview.place(at: bounds.origin, proposal: proposal)
        }
    }
}

/// Shows what an image contains.
struct Labels: View {
    let top: [MobileNetV4.Classification]

    var body: some View {
        FlowLayout {
            ForEach(top, id: \.index) { Text($0.label) }
        }
    }
}
