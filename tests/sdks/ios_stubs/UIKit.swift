@_exported import CoreGraphics
@_exported import CoreImage
@_exported import Foundation

// https://developer.apple.com/documentation/uikit/uidevice
@MainActor public class UIDevice {
    public class var current: UIDevice { UIDevice() }
    public var isBatteryMonitoringEnabled = false
    public var batteryLevel: Float { 0 }
}
// https://developer.apple.com/documentation/uikit/uiapplication
@MainActor public class UIApplication {
    public class var shared: UIApplication { UIApplication() }
    public var isIdleTimerDisabled = false
    // https://developer.apple.com/documentation/uikit/uiapplication/opensettingsurlstring
    public nonisolated static let openSettingsURLString = ""
}
// https://developer.apple.com/documentation/uikit/uiimage
public final class UIImage: @unchecked Sendable {
    // https://developer.apple.com/documentation/uikit/uiimage/orientation
    public enum Orientation: Int, @unchecked Sendable {
        case up, down, left, right, upMirrored, downMirrored, leftMirrored, rightMirrored
    }
    public init?(data: Data) {}
    public init?(systemName: String) {}
    // https://developer.apple.com/documentation/uikit/uiimage/bypreparingthumbnail(ofsize:)
    @available(iOS 15.0, *)
    public func byPreparingThumbnail(ofSize size: CGSize) async -> UIImage? { nil }
    public var imageOrientation: Orientation { .up }
    public var cgImage: CGImage? { nil }
    public var ciImage: CIImage? { nil }
}
// https://developer.apple.com/documentation/quartzcore/calayer
open class CALayer: NSObject {}
// https://developer.apple.com/documentation/uikit/uiview
@MainActor open class UIView: NSObject {
    override public nonisolated init() {}
    public init(frame: CGRect) {}
    public required init?(coder: NSCoder) {}
    open class var layerClass: AnyClass { CALayer.self }
    public var layer: CALayer { CALayer() }
    public var window: UIWindow? { nil }
    open func addSubview(_ view: UIView) {}
    open func layoutSubviews() {}
    open func setNeedsLayout() {}
}
// https://developer.apple.com/documentation/uikit/uiinterfaceorientation
public enum UIInterfaceOrientation: Int, Sendable {
    case unknown, portrait, portraitUpsideDown, landscapeRight, landscapeLeft
}
// https://developer.apple.com/documentation/uikit/uiwindowscene
@MainActor public class UIWindowScene {
    public var interfaceOrientation: UIInterfaceOrientation { .portrait }
}
// https://developer.apple.com/documentation/uikit/uiwindow
@MainActor public class UIWindow: UIView {
    public var windowScene: UIWindowScene? { nil }
}
// https://developer.apple.com/documentation/uikit/uilabel
@MainActor open class UILabel: UIView {
    open var text: String?
}
// https://developer.apple.com/documentation/uikit/uiresponder
@MainActor open class UIResponder: NSObject {
    override public nonisolated init() {}
}
// https://developer.apple.com/documentation/uikit/uiviewcontroller
@MainActor open class UIViewController: UIResponder {
    open var view: UIView! = nil
    open func viewDidLoad() {}
}
