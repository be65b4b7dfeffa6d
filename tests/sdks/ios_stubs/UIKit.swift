@_exported import CoreGraphics
@_exported import Foundation

@MainActor public class UIDevice {
    public class var current: UIDevice { UIDevice() }
    public var isBatteryMonitoringEnabled = false
    public var batteryLevel: Float { 0 }
}
@MainActor public class UIApplication {
    public class var shared: UIApplication { UIApplication() }
    public var isIdleTimerDisabled = false
}
public final class UIImage: @unchecked Sendable {
    public init?(data: Data) {}
    public var cgImage: CGImage? { nil }
}
open class CALayer: NSObject {}
@MainActor open class UIView: NSObject {
    override public nonisolated init() {}
    open class var layerClass: AnyClass { CALayer.self }
    public var layer: CALayer { CALayer() }
    open func addSubview(_ view: UIView) {}
}
@MainActor open class UILabel: UIView {
    open var text: String?
}
@MainActor open class UIResponder: NSObject {
    override public nonisolated init() {}
}
@MainActor open class UIViewController: UIResponder {
    open var view: UIView! = nil
    open func viewDidLoad() {}
}
