@_exported import CoreGraphics
import Foundation

// Not Sendable: Apple's documentation calls it immutable and safe to share, and does not list Sendable.
// https://developer.apple.com/documentation/coreimage/ciimage
public class CIImage: NSObject {
    private let size: CGRect
    public init(cgImage image: CGImage) {
        size = CGRect(x: 0, y: 0, width: image.width, height: image.height)
    }
    private init(size: CGRect) { self.size = size }
    public class func empty() -> CIImage { CIImage(size: .zero) }
    public static var white: CIImage { CIImage(size: .infinite) }
    public var extent: CGRect { size }
    public func cropped(to rect: CGRect) -> CIImage { CIImage(size: rect) }
    public func transformed(
        by matrix: CGAffineTransform, highQualityDownsample: Bool
    ) -> CIImage {
        CIImage(
            size: CGRect(
                x: size.minX * matrix.a, y: size.minY * matrix.d, width: size.width * matrix.a,
                height: size.height * matrix.d))
    }
}
// https://developer.apple.com/documentation/coreimage/ciformat
public struct CIFormat: Sendable {
    public static var RGBA8: CIFormat { CIFormat() }
}
// https://developer.apple.com/documentation/coreimage/cicontext
public class CIContext: NSObject {
    override public init() {}
    public func createCGImage(
        _ image: CIImage, from rect: CGRect, format: CIFormat, colorSpace: CGColorSpace?
    ) -> CGImage? { nil }
}
