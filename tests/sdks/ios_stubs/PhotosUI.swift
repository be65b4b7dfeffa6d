import SwiftUI

// https://developer.apple.com/documentation/photosui/phpickerfilter
public struct PHPickerFilter: Sendable {
    public static var images: PHPickerFilter { PHPickerFilter() }
}
// https://developer.apple.com/documentation/photosui/photospickeritem
@available(iOS 16.0, macOS 13.0, *)
public struct PhotosPickerItem: Hashable, Sendable {
    public func loadTransferable<T: Transferable>(type: T.Type) async throws -> T? { nil }
}
// https://developer.apple.com/documentation/photosui/photospicker
@available(iOS 16.0, macOS 13.0, *)
public struct PhotosPicker<Label: View>: View {
    public init(
        selection: Binding<PhotosPickerItem?>, matching filter: PHPickerFilter?,
        @ViewBuilder label: () -> Label
    ) {}
    public var body: Never { fatalError() }
}
