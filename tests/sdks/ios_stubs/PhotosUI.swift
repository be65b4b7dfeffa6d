import SwiftUI

public struct PHPickerFilter: Sendable {
    public static var images: PHPickerFilter { PHPickerFilter() }
}
public struct PhotosPickerItem: Hashable, Sendable {
    public func loadTransferable<T: Transferable>(type: T.Type) async throws -> T? { nil }
}
public struct PhotosPicker<Label: View>: View {
    public init(
        selection: Binding<PhotosPickerItem?>, matching filter: PHPickerFilter?,
        @ViewBuilder label: () -> Label
    ) {}
    public var body: Never { fatalError() }
}
