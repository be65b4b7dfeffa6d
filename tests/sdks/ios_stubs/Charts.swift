import SwiftUI

// https://developer.apple.com/documentation/charts/chartcontent
// https://developer.apple.com/documentation/charts/chartcontentbuilder
@available(iOS 16.0, macOS 13.0, *)
@MainActor public protocol ChartContent {}
@available(iOS 16.0, macOS 13.0, *)
@resultBuilder public enum ChartContentBuilder {
    public static func buildBlock<C: ChartContent>(_ content: C) -> C { content }
    public static func buildExpression<C: ChartContent>(_ content: C) -> C { content }
    public static func buildIf<C: ChartContent>(_ content: C?) -> some ChartContent { AnyMark() }
}
struct AnyMark: ChartContent {}
// https://developer.apple.com/documentation/charts/chart
@available(iOS 16.0, macOS 13.0, *)
public struct Chart<Content: ChartContent>: View {
    public init<D: RandomAccessCollection>(
        _ data: D, @ChartContentBuilder content: (D.Element) -> Content
    ) where D.Element: Identifiable {}
    public var body: Never { fatalError() }
}
// https://developer.apple.com/documentation/charts/plottable
@available(iOS 16.0, macOS 13.0, *)
public protocol Plottable {}
extension Double: Plottable {}
extension String: Plottable {}
// https://developer.apple.com/documentation/charts/plottablevalue
@available(iOS 16.0, macOS 13.0, *)
public struct PlottableValue<Value: Plottable> {
    public static func value(_ label: LocalizedStringKey, _ value: Value) -> PlottableValue {
        PlottableValue()
    }
}
// https://developer.apple.com/documentation/charts/barmark
@available(iOS 16.0, macOS 13.0, *)
public struct BarMark: ChartContent {
    public init<X: Plottable, Y: Plottable>(x: PlottableValue<X>, y: PlottableValue<Y>) {}
}
// https://developer.apple.com/documentation/charts/annotationposition
@available(iOS 16.0, macOS 13.0, *)
public enum AnnotationPosition: Sendable { case trailing }
extension ChartContent {
    public func annotation<C: View>(
        position: AnnotationPosition, @ViewBuilder content: () -> C
    ) -> some ChartContent { self }
    public func accessibilityLabel(_ label: String) -> some ChartContent { self }
    public func accessibilityValue(_ value: String) -> some ChartContent { self }
}
extension View {
    public func chartXAxisLabel(_ label: LocalizedStringKey) -> some View { self }
}
