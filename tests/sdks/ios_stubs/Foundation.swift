// What Foundation has on Apple's systems and lacks on Linux. No module of its own: it is compiled
// into each that is checked.
import Foundation

extension Foundation.Bundle {
    /// The bundle of a package with resources; SwiftPM writes it.
    static var module: Foundation.Bundle { .main }
}
extension ProcessInfo {
    enum ThermalState: Int, Sendable { case nominal, fair, serious, critical }
    var thermalState: ThermalState { .nominal }
    var isLowPowerModeEnabled: Bool { false }
    static let thermalStateDidChangeNotification = Notification.Name("")
}
extension String {
    // https://developer.apple.com/documentation/swift/string/localizationvalue
    struct LocalizationValue: ExpressibleByStringInterpolation, Sendable {
        init(stringLiteral value: String) {}
        init(stringInterpolation: StringInterpolation) {}
        // https://developer.apple.com/documentation/swift/string/localizationvalue/stringinterpolation
        struct StringInterpolation: StringInterpolationProtocol {
            init(literalCapacity: Int, interpolationCount: Int) {}
            mutating func appendLiteral(_ literal: String) {}
            mutating func appendInterpolation(_ string: String) {}
        }
    }
    // https://developer.apple.com/documentation/swift/string/init(localized:table:bundle:locale:comment:)
    init(localized key: LocalizationValue) { self = "" }
}
// https://developer.apple.com/documentation/swift/using-key-value-observing-in-swift
struct NSKeyValueObservingOptions: OptionSet, Sendable {
    let rawValue: UInt
    static var new: NSKeyValueObservingOptions { .init(rawValue: 1) }
    static var initial: NSKeyValueObservingOptions { .init(rawValue: 4) }
}
// https://developer.apple.com/documentation/foundation/nskeyvalueobservedchange
struct NSKeyValueObservedChange<Value> { var newValue: Value? { nil } }
// https://developer.apple.com/documentation/foundation/nskeyvalueobservation
final class NSKeyValueObservation: NSObject {}
protocol KeyValueObserving {}
extension NSObject: KeyValueObserving {}
extension KeyValueObserving {
    func observe<Value>(
        _ keyPath: KeyPath<Self, Value>, options: NSKeyValueObservingOptions = [],
        changeHandler: @escaping @Sendable (Self, NSKeyValueObservedChange<Value>) -> Void
    ) -> NSKeyValueObservation { NSKeyValueObservation() }
}
