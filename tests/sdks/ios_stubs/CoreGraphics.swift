import Foundation

// Foundation on Linux has CGRect, CGSize, CGPoint and CGFloat.
// https://developer.apple.com/documentation/corefoundation/cfstring
public typealias CFString = String
// https://developer.apple.com/documentation/corefoundation/cfdata
public typealias CFData = Data
// https://developer.apple.com/documentation/corefoundation/cfurl
public typealias CFURL = URL
// https://developer.apple.com/documentation/corefoundation/cfdictionary
public typealias CFDictionary = [AnyHashable: Any]

// https://developer.apple.com/documentation/coregraphics/cgcolorspacemodel
public enum CGColorSpaceModel: Int32, Sendable {
    case unknown = -1
    case monochrome, rgb, cmyk, lab, deviceN, indexed, pattern, XYZ
}
// https://developer.apple.com/documentation/coregraphics/cgcolorspace
public final class CGColorSpace: @unchecked Sendable {
    public init?(name: CFString) {}
    public class var sRGB: CFString { "" }
    public class var linearGray: CFString { "" }
    public var model: CGColorSpaceModel { .rgb }
}
// https://developer.apple.com/documentation/coregraphics/cgimagealphainfo
public enum CGImageAlphaInfo: UInt32, Sendable {
    case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst
    case alphaOnly
}
// https://developer.apple.com/documentation/coregraphics/cgimagebyteorderinfo
public enum CGImageByteOrderInfo: UInt32, Sendable {
    case orderMask, order16Little, order32Little, order16Big, order32Big
    public static var orderDefault: CGImageByteOrderInfo { .orderMask }
}
// https://developer.apple.com/documentation/coregraphics/cgbitmapinfo
public struct CGBitmapInfo: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static var floatComponents: CGBitmapInfo { CGBitmapInfo(rawValue: 256) }
}
// https://developer.apple.com/documentation/coregraphics/cgdataprovider
public final class CGDataProvider: @unchecked Sendable {
    public var data: CFData? { nil }
    public init?(data: CFData) {}
}
// https://developer.apple.com/documentation/coregraphics/cgcolorrenderingintent
public enum CGColorRenderingIntent: Int32, Sendable {
    case defaultIntent
}
// https://developer.apple.com/documentation/coregraphics/cgimage
public final class CGImage: @unchecked Sendable {
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: CGBitmapInfo, provider: CGDataProvider,
        decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool, intent: CGColorRenderingIntent
    ) {}
    public var width: Int { 0 }
    public var height: Int { 0 }
    public var bitsPerComponent: Int { 0 }
    public var bitsPerPixel: Int { 0 }
    public var bytesPerRow: Int { 0 }
    public var colorSpace: CGColorSpace? { nil }
    public var alphaInfo: CGImageAlphaInfo { .none }
    public var byteOrderInfo: CGImageByteOrderInfo { .orderDefault }
    public var bitmapInfo: CGBitmapInfo { [] }
    public var dataProvider: CGDataProvider? { nil }
}
// https://developer.apple.com/documentation/coregraphics/cgcontext
public final class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int,
        bytesPerRow: Int, space: CGColorSpace, bitmapInfo: UInt32
    ) {}
    public func draw(_ image: CGImage, in rect: CGRect) {}
    public func makeImage() -> CGImage? { nil }
}
