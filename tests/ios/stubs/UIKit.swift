@_exported import CoreGraphics
@_exported import Foundation

@MainActor public class UIDevice {
    public class var current: UIDevice { UIDevice() }
    public var isBatteryMonitoringEnabled = false
    public var batteryLevel: Float { 0 }
}
