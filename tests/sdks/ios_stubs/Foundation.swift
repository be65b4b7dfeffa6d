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
