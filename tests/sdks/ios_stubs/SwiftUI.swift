// Foundation and Dispatch come with SwiftUI, and what Combine has of observable objects.
@_exported import CoreGraphics
@_exported import Dispatch
@_exported import Foundation
@_exported import UIKit

// https://developer.apple.com/documentation/combine/observableobject
public protocol ObservableObject: AnyObject {}
// https://developer.apple.com/documentation/combine/published
@propertyWrapper public struct Published<Value> {
    public init(wrappedValue: Value) {}
    public var wrappedValue: Value { get { fatalError() } set {} }
}
// https://developer.apple.com/documentation/combine/publisher
public protocol Publisher<Output> { associatedtype Output }
// https://developer.apple.com/documentation/foundation/notificationcenter/publisher
public struct NotificationPublisher: Publisher, Sendable {
    public typealias Output = Notification
    public func receive(on queue: DispatchQueue) -> NotificationPublisher { self }
}
extension NotificationCenter {
    public func publisher(for name: Notification.Name) -> NotificationPublisher {
        NotificationPublisher()
    }
}

// https://developer.apple.com/documentation/swiftui/view
@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}
extension Never: View { public var body: Never { fatalError() } }
// Ours: stands for many of Apple's types.
@MainActor public protocol Primitive: View where Body == Never {}
extension Primitive { public var body: Never { fatalError() } }
// Ours: stands for many of Apple's types.
public struct Some: Primitive {}
// https://developer.apple.com/documentation/swiftui/emptyview
public struct EmptyView: Primitive { public nonisolated init() {} }
extension Optional: View where Wrapped: View { public var body: Never { fatalError() } }

// https://developer.apple.com/documentation/swiftui/viewbuilder
@resultBuilder public enum ViewBuilder {
    public static func buildBlock() -> EmptyView { EmptyView() }
    public static func buildBlock<each V: View>(_ views: repeat each V) -> Some { Some() }
    public static func buildBlock<V: View>(_ view: V) -> V { view }
    public static func buildExpression<V: View>(_ view: V) -> V { view }
    public static func buildIf<V: View>(_ view: V?) -> V? { view }
    public static func buildEither<V: View>(first: V) -> Some { Some() }
    public static func buildEither<V: View>(second: V) -> Some { Some() }
    public static func buildLimitedAvailability<V: View>(_ view: V) -> Some { Some() }
}

// https://developer.apple.com/documentation/swiftui/scene
// https://developer.apple.com/documentation/swiftui/scenebuilder
@MainActor @preconcurrency public protocol Scene {}
@resultBuilder public enum SceneBuilder {
    public static func buildBlock<S: Scene>(_ scene: S) -> S { scene }
}
// https://developer.apple.com/documentation/swiftui/app
@MainActor @preconcurrency public protocol App {
    associatedtype Body: Scene
    @SceneBuilder var body: Body { get }
    init()
}
extension App { public static func main() {} }
// https://developer.apple.com/documentation/swiftui/windowgroup
public struct WindowGroup<Content: View>: Scene {
    public init(@ViewBuilder content: () -> Content) {}
}

// https://developer.apple.com/documentation/swiftui/toolbarcontent
// https://developer.apple.com/documentation/swiftui/toolbaritem
@MainActor @preconcurrency public protocol ToolbarContent {}
public struct ToolbarItem<Content: View>: ToolbarContent {
    public init(@ViewBuilder content: () -> Content) {}
}
// Ours: stands for many of Apple's types.
public struct ToolbarItems: ToolbarContent {}
// https://developer.apple.com/documentation/swiftui/toolbarcontentbuilder
@resultBuilder public enum ToolbarContentBuilder {
    public static func buildBlock<each T: ToolbarContent>(_ items: repeat each T) -> ToolbarItems {
        ToolbarItems()
    }
}

// https://developer.apple.com/documentation/swiftui/state
@MainActor @preconcurrency @propertyWrapper public struct State<Value> {
    public nonisolated init(wrappedValue: Value) {}
    public nonisolated init() where Value: ExpressibleByNilLiteral {}
    public var wrappedValue: Value { get { fatalError() } nonmutating set {} }
    public var projectedValue: Binding<Value> { fatalError() }
}
// https://developer.apple.com/documentation/swiftui/binding
@propertyWrapper @dynamicMemberLookup public struct Binding<Value> {
    public init() {}
    public static func constant(_ value: Value) -> Binding<Value> { Binding() }
    public var projectedValue: Binding<Value> { self }
    public var wrappedValue: Value { get { fatalError() } nonmutating set {} }
    public subscript<T>(dynamicMember path: WritableKeyPath<Value, T>) -> Binding<T> {
        fatalError()
    }
}
// https://developer.apple.com/documentation/swiftui/stateobject
@MainActor @preconcurrency @propertyWrapper public struct StateObject<Object: ObservableObject> {
    public nonisolated init(wrappedValue: @autoclosure @escaping () -> Object) {}
    public var wrappedValue: Object { fatalError() }
}
// https://developer.apple.com/documentation/swiftui/environmentobject
@MainActor @preconcurrency @propertyWrapper public struct EnvironmentObject<Object: ObservableObject> {
    public nonisolated init() {}
    public var wrappedValue: Object { fatalError() }
    public var projectedValue: Wrapper { fatalError() }
    @MainActor @dynamicMemberLookup public struct Wrapper {
        public subscript<T>(dynamicMember path: ReferenceWritableKeyPath<Object, T>) -> Binding<T> {
            fatalError()
        }
    }
}
// https://developer.apple.com/documentation/swiftui/localizedstringkey
public struct LocalizedStringKey: ExpressibleByStringInterpolation, Sendable {
    public init(stringLiteral value: String) {}
    public init(stringInterpolation: StringInterpolation) {}
    // https://developer.apple.com/documentation/swiftui/localizedstringkey/stringinterpolation
    public struct StringInterpolation: StringInterpolationProtocol {
        public init(literalCapacity: Int, interpolationCount: Int) {}
        public mutating func appendLiteral(_ literal: String) {}
        public mutating func appendInterpolation(_ string: String) {}
    }
}
// https://developer.apple.com/documentation/swiftui/alignment
public enum Alignment: Sendable { case leading }
// https://developer.apple.com/documentation/swiftui/horizontalalignment
public enum HorizontalAlignment: Sendable { case leading }
// https://developer.apple.com/documentation/swiftui/font
public struct Font: Sendable {
    public static var headline: Font { Font() }
    public static var footnote: Font { Font() }
    public static var caption: Font { Font() }
    public static var body: Font { Font() }
    public func monospacedDigit() -> Font { self }
}
// https://developer.apple.com/documentation/swiftui/shapestyle
public protocol ShapeStyle {}
// https://developer.apple.com/documentation/swiftui/color
public struct Color: ShapeStyle, Sendable {
    public static var red: Color { Color() }
    public static var primary: Color { Color() }
    public static var black: Color { Color() }
    public static var yellow: Color { Color() }
    public static var gray: Color { Color() }
}
extension Color: Primitive {}
// https://developer.apple.com/documentation/swiftui/shape
public protocol Shape: Sendable, View {
    nonisolated func path(in rect: CGRect) -> Path
}
extension Shape {
    public var body: Never { fatalError() }
    // https://developer.apple.com/documentation/swiftui/shape/stroke(_:linewidth:)
    public nonisolated func stroke<S: ShapeStyle>(_ content: S, lineWidth: CGFloat = 1) -> some View
    { Some() }
}
// https://developer.apple.com/documentation/swiftui/path
public struct Path: Sendable { public init(_ rect: CGRect) {} }
// https://developer.apple.com/documentation/swiftui/roundedrectangle
// https://developer.apple.com/documentation/swiftui/text
public struct Text: Primitive {
    public init(_ key: LocalizedStringKey) {}
    @_disfavoredOverload public init<S: StringProtocol>(_ text: S) {}
    public func font(_ font: Font?) -> Text { self }
}
// https://developer.apple.com/documentation/swiftui/image
public struct Image: Primitive {
    public init(uiImage: UIImage) {}
    public func resizable() -> Image { self }
}
// https://developer.apple.com/documentation/swiftui/label
public struct Label: Primitive {
    public init(_ key: LocalizedStringKey, systemImage: String) {}
    @_disfavoredOverload public init<S: StringProtocol>(_ text: S, systemImage: String) {}
}
// https://developer.apple.com/documentation/swiftui/spacer
public struct Spacer: Primitive { public init() {} }
// https://developer.apple.com/documentation/swiftui/vstack
public struct VStack<Content: View>: Primitive {
    public init(
        alignment: HorizontalAlignment = .leading, spacing: CGFloat? = nil,
        @ViewBuilder content: () -> Content
    ) {}
}
// https://developer.apple.com/documentation/swiftui/hstack
public struct HStack<Content: View>: Primitive {
    public init(spacing: CGFloat? = nil, @ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/zstack
public struct ZStack<Content: View>: Primitive {
    public init(@ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/geometryproxy
public struct GeometryProxy: Sendable { public var size: CGSize { .zero } }
// https://developer.apple.com/documentation/swiftui/geometryreader
public struct GeometryReader<Content: View>: Primitive {
    public init(@ViewBuilder content: @escaping (GeometryProxy) -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/axis
public enum Axis: Sendable {
    public struct Set: OptionSet, Sendable {
        public let rawValue: Int8
        public init(rawValue: Int8) { self.rawValue = rawValue }
        public static var horizontal: Set { Set(rawValue: 1) }
    }
}
// https://developer.apple.com/documentation/swiftui/viewthatfits
@available(iOS 16.0, macOS 13.0, *)
public struct ViewThatFits<Content: View>: Primitive {
    public init(in axes: Axis.Set, @ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/scaledmetric
@MainActor @preconcurrency @propertyWrapper public struct ScaledMetric<Value: BinaryFloatingPoint> {
    public nonisolated init(wrappedValue: Value) {}
    public var wrappedValue: Value { fatalError() }
}
// https://developer.apple.com/documentation/swiftui/scrollview
public struct ScrollView<Content: View>: Primitive {
    public init(@ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/navigationstack
@available(iOS 16.0, macOS 13.0, *)
public struct NavigationStack<Root: View>: Primitive {
    public init(@ViewBuilder root: () -> Root) {}
}
// https://developer.apple.com/documentation/swiftui/tabview
public struct TabView<Content: View>: Primitive {
    public init(@ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/form
public struct Form<Content: View>: Primitive {
    public init(@ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/section
public struct Section<Content: View>: Primitive {
    public init(_ title: LocalizedStringKey, @ViewBuilder content: () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/disclosuregroup
public struct DisclosureGroup<Content: View>: Primitive {
    public init(_ title: LocalizedStringKey, @ViewBuilder content: @escaping () -> Content) {}
}
// https://developer.apple.com/documentation/swiftui/foreach
public struct ForEach<Content: View>: Primitive {
    public init<D: RandomAccessCollection>(
        _ data: D, @ViewBuilder content: @escaping (D.Element) -> Content
    ) where D.Element: Identifiable {}
    public init<D: RandomAccessCollection, ID: Hashable>(
        _ data: D, id: KeyPath<D.Element, ID>, @ViewBuilder content: @escaping (D.Element) -> Content
    ) {}
}
// https://developer.apple.com/documentation/swiftui/progressview
public struct ProgressView: Primitive {
    public init() {}
    public init(_ title: LocalizedStringKey) {}
    public init<V: BinaryFloatingPoint>(value: V?, total: V = 1) {}
}
// https://developer.apple.com/documentation/swiftui/labeledcontent
@available(iOS 16.0, macOS 13.0, *)
public struct LabeledContent: Primitive {
    public init<S: StringProtocol>(_ title: LocalizedStringKey, value: S) {}
    @_disfavoredOverload public init<T: StringProtocol, S: StringProtocol>(_ title: T, value: S) {}
}
// https://developer.apple.com/documentation/swiftui/button
public struct Button: Primitive {
    public init(
        _ title: LocalizedStringKey, systemImage: String, action: @escaping @MainActor () -> Void
    ) {}
}
// https://developer.apple.com/documentation/swiftui/picker
public struct Picker<Content: View>: Primitive {
    public init<Value: Hashable>(
        _ title: LocalizedStringKey, selection: Binding<Value>, @ViewBuilder content: () -> Content
    ) {}
}
// https://developer.apple.com/documentation/coretransferable/transferable
@available(iOS 16.0, macOS 13.0, *)
public protocol Transferable {}
extension URL: Transferable {}
extension Data: Transferable {}
// https://developer.apple.com/documentation/swiftui/sharelink
@available(iOS 16.0, macOS 13.0, *)
public struct ShareLink: Primitive { public init(item: URL) {} }
// https://developer.apple.com/documentation/swiftui/inlinepickerstyle
public struct InlinePickerStyle: Sendable {
    public static var inline: InlinePickerStyle { InlinePickerStyle() }
}
// https://developer.apple.com/documentation/swiftui/contentmode
public enum ContentMode: Sendable { case fit, fill }
// https://developer.apple.com/documentation/swiftui/dynamictypesize
public enum DynamicTypeSize: Sendable { case large, accessibility5 }
// https://developer.apple.com/documentation/swiftui/accessibilitychildbehavior
public enum AccessibilityChildBehavior: Sendable { case ignore, combine }

extension View {
    public func font(_ font: Font?) -> some View { self }
    public func padding() -> some View { self }
    // https://developer.apple.com/documentation/swiftui/view/frame(minwidth:idealwidth:maxwidth:minheight:idealheight:maxheight:alignment:)
    public func frame(
        minWidth: CGFloat? = nil, idealWidth: CGFloat? = nil, maxWidth: CGFloat? = nil,
        minHeight: CGFloat? = nil, idealHeight: CGFloat? = nil, maxHeight: CGFloat? = nil,
        alignment: Alignment = .leading
    ) -> some View { self }
    public func aspectRatio(_ ratio: CGFloat?, contentMode: ContentMode) -> some View { self }
    public func dynamicTypeSize(_ size: DynamicTypeSize) -> some View { self }
    public func layoutPriority(_ value: Double) -> some View { self }
    public func overlay<V: View>(
        alignment: Alignment = .leading, @ViewBuilder content: () -> V
    ) -> some View { self }
    public func foregroundStyle<S: ShapeStyle>(_ style: S) -> some View { self }
    public func scaledToFit() -> some View { self }
    public func disabled(_ disabled: Bool) -> some View { self }
    public func navigationTitle(_ title: LocalizedStringKey) -> some View { self }
    public func pickerStyle(_ style: InlinePickerStyle) -> some View { self }
    public func tag<V: Hashable>(_ tag: V) -> some View { self }
    public func tabItem<V: View>(@ViewBuilder _ label: () -> V) -> some View { self }
    public func environmentObject<T: ObservableObject>(_ object: T) -> some View { self }
    public func toolbar<V: View>(@ViewBuilder content: () -> V) -> some View { self }
    public func toolbar<T: ToolbarContent>(@ToolbarContentBuilder content: () -> T) -> some View {
        self
    }
    public func onDisappear(perform action: (() -> Void)? = nil) -> some View { self }
    public func onReceive<P: Publisher>(
        _ publisher: P, perform action: @escaping (P.Output) -> Void
    ) -> some View { self }
    public func task(
        priority: TaskPriority = .userInitiated,
        @_inheritActorContext _ action: sending @escaping @isolated(any) () async -> Void
    ) -> some View { self }
    public func task<T: Equatable>(
        id: T, priority: TaskPriority = .userInitiated,
        @_inheritActorContext _ action: sending @escaping @isolated(any) () async -> Void
    ) -> some View { self }
    public func accessibilityHidden(_ hidden: Bool) -> some View { self }
    public func accessibilityLabel(_ key: LocalizedStringKey) -> some View { self }
    @_disfavoredOverload
    public func accessibilityLabel<S: StringProtocol>(_ label: S) -> some View { self }
    public func accessibilityValue<S: StringProtocol>(_ value: S) -> some View { self }
    public func accessibilityElement(children: AccessibilityChildBehavior) -> some View { self }
}

// https://developer.apple.com/documentation/swiftui/uiviewrepresentable
@MainActor @preconcurrency public protocol UIViewRepresentable: View where Body == Never {
    associatedtype UIViewType
    typealias Context = UIViewRepresentableContext<Self>
    func makeUIView(context: Context) -> UIViewType
    func updateUIView(_ view: UIViewType, context: Context)
}
extension UIViewRepresentable { public var body: Never { fatalError() } }
// https://developer.apple.com/documentation/swiftui/uiviewrepresentablecontext
public struct UIViewRepresentableContext<Representable> {}

// https://developer.apple.com/documentation/swiftui/proposedviewsize
@available(iOS 16.0, macOS 13.0, *)
public struct ProposedViewSize: Equatable, Sendable {}
// https://developer.apple.com/documentation/swiftui/layoutsubview
@available(iOS 16.0, macOS 13.0, *)
public struct LayoutSubview: Equatable {
    public func sizeThatFits(_ proposal: ProposedViewSize) -> CGSize { .zero }
    public func place(at position: CGPoint, proposal: ProposedViewSize) {}
}
// https://developer.apple.com/documentation/swiftui/layoutsubviews
@available(iOS 16.0, macOS 13.0, *)
public struct LayoutSubviews: RandomAccessCollection, Equatable, Sendable {
    public var startIndex: Int { 0 }
    public var endIndex: Int { 0 }
    public subscript(index: Int) -> LayoutSubview { LayoutSubview() }
}
// https://developer.apple.com/documentation/swiftui/layout
@available(iOS 16.0, macOS 13.0, *)
@preconcurrency public protocol Layout: Sendable {
    associatedtype Cache = Void
    typealias Subviews = LayoutSubviews
    func sizeThatFits(proposal: ProposedViewSize, subviews: Subviews, cache: inout Cache) -> CGSize
    func placeSubviews(
        in bounds: CGRect, proposal: ProposedViewSize, subviews: Subviews, cache: inout Cache)
}
// https://developer.apple.com/documentation/swiftui/hstacklayout
// https://developer.apple.com/documentation/swiftui/vstacklayout
// https://developer.apple.com/documentation/swiftui/anylayout
@available(iOS 16.0, macOS 13.0, *)
public struct HStackLayout: Layout { public init(spacing: CGFloat? = nil) {} }
// https://developer.apple.com/documentation/swiftui/vstacklayout
@available(iOS 16.0, macOS 13.0, *)
public struct VStackLayout: Layout { public init(spacing: CGFloat? = nil) {} }
// https://developer.apple.com/documentation/swiftui/anylayout
@available(iOS 16.0, macOS 13.0, *)
public struct AnyLayout: Layout { public init<L: Layout>(_ layout: L) {} }
// Ours: these have layouts of their own.
extension Layout where Cache == Void {
    public func sizeThatFits(
        proposal: ProposedViewSize, subviews: Subviews, cache: inout Void
    ) -> CGSize { .zero }
    public func placeSubviews(
        in bounds: CGRect, proposal: ProposedViewSize, subviews: Subviews, cache: inout Void
    ) {}
}
extension Layout {
    @MainActor public func callAsFunction<V: View>(@ViewBuilder _ content: () -> V) -> some View {
        EmptyView()
    }
}
// https://developer.apple.com/documentation/swiftui/link
public struct Link: View {
    public init(_ key: LocalizedStringKey, destination: URL) {}
    public var body: Never { fatalError() }
}
