@_exported import CoreGraphics
import Foundation

// Not Sendable, as in Apple's SDK. It has planes in memory, so that the code that reads them runs here;
// rows are longer than their pixels, as Core Video's often are.
// https://developer.apple.com/documentation/corevideo/cvbuffer
public class CVBuffer {
    fileprivate struct Plane {
        let height: Int, bytesPerRow: Int
        let bytes: UnsafeMutableRawPointer
    }
    fileprivate let width: Int, height: Int, format: OSType
    fileprivate let planes: [Plane]

    fileprivate init(_ width: Int, _ height: Int, _ format: OSType) {
        (self.width, self.height, self.format) = (width, height, format)
        let isYUV =
            format == kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
            || format == kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange
        let rows = isYUV ? [(width, height), (width + width % 2, (height + 1) / 2)] : [(4 * width, height)]
        planes = rows.map { bytes, height in
            let row = bytes + 12
            let memory = UnsafeMutableRawPointer.allocate(byteCount: row * height, alignment: 16)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: row * height)
            return Plane(height: height, bytesPerRow: row, bytes: memory)
        }
    }

    deinit { planes.forEach { $0.bytes.deallocate() } }
}
// https://developer.apple.com/documentation/corevideo/cvimagebuffer
public typealias CVImageBuffer = CVBuffer
// https://developer.apple.com/documentation/corevideo/cvpixelbuffer
public typealias CVPixelBuffer = CVBuffer
// https://developer.apple.com/documentation/corevideo/cvreturn
public typealias CVReturn = Int32
// https://developer.apple.com/documentation/kernel/ostype
public typealias OSType = UInt32
// https://developer.apple.com/documentation/corefoundation/cfallocator
public typealias CFAllocator = AnyObject
// https://developer.apple.com/documentation/corevideo/kcvreturnsuccess
public let kCVReturnSuccess: CVReturn = 0
// https://developer.apple.com/documentation/corevideo/kcvpixelformattype_32bgra
public let kCVPixelFormatType_32BGRA: OSType = 0x4247_5241
// https://developer.apple.com/documentation/corevideo/kcvpixelformattype_420ypcbcr8biplanarfullrange
public let kCVPixelFormatType_420YpCbCr8BiPlanarFullRange: OSType = 0x3432_3066
// https://developer.apple.com/documentation/corevideo/kcvpixelformattype_420ypcbcr8biplanarvideorange
public let kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange: OSType = 0x3432_3076
// https://developer.apple.com/documentation/corevideo/kcvpixelbufferiosurfacepropertieskey
public let kCVPixelBufferIOSurfacePropertiesKey: CFString = ""
// https://developer.apple.com/documentation/corevideo/kcvpixelbufferpixelformattypekey
public let kCVPixelBufferPixelFormatTypeKey: CFString = ""
// https://developer.apple.com/documentation/corevideo/cvpixelbufferlockflags
public struct CVPixelBufferLockFlags: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static var readOnly: CVPixelBufferLockFlags { CVPixelBufferLockFlags(rawValue: 1) }
}
// https://developer.apple.com/documentation/corevideo/cvpixelbuffercreate(_:_:_:_:_:_:)
@discardableResult
public func CVPixelBufferCreate(
    _ allocator: CFAllocator?, _ width: Int, _ height: Int, _ format: OSType,
    _ attributes: CFDictionary?, _ buffer: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn {
    buffer.pointee = CVBuffer(width, height, format)
    return kCVReturnSuccess
}
// https://developer.apple.com/documentation/corevideo/cvpixelbufferlockbaseaddress(_:_:)
@discardableResult
public func CVPixelBufferLockBaseAddress(
    _ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags
) -> CVReturn { 0 }
// https://developer.apple.com/documentation/corevideo/cvpixelbufferunlockbaseaddress(_:_:)
@discardableResult
public func CVPixelBufferUnlockBaseAddress(
    _ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags
) -> CVReturn { 0 }
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetwidth(_:)
public func CVPixelBufferGetWidth(_ buffer: CVPixelBuffer) -> Int { buffer.width }
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetheight(_:)
public func CVPixelBufferGetHeight(_ buffer: CVPixelBuffer) -> Int { buffer.height }
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetbytesperrow(_:)
public func CVPixelBufferGetBytesPerRow(_ buffer: CVPixelBuffer) -> Int {
    buffer.planes[0].bytesPerRow
}
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetbaseaddress(_:)
public func CVPixelBufferGetBaseAddress(_ buffer: CVPixelBuffer) -> UnsafeMutableRawPointer? {
    buffer.planes[0].bytes
}
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetpixelformattype(_:)
public func CVPixelBufferGetPixelFormatType(_ buffer: CVPixelBuffer) -> OSType { buffer.format }
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetbytesperrowofplane(_:_:)
public func CVPixelBufferGetBytesPerRowOfPlane(_ buffer: CVPixelBuffer, _ plane: Int) -> Int {
    buffer.planes[plane].bytesPerRow
}
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetheightofplane(_:_:)
public func CVPixelBufferGetHeightOfPlane(_ buffer: CVPixelBuffer, _ plane: Int) -> Int {
    buffer.planes[plane].height
}
// https://developer.apple.com/documentation/corevideo/cvpixelbuffergetbaseaddressofplane(_:_:)
public func CVPixelBufferGetBaseAddressOfPlane(
    _ buffer: CVPixelBuffer, _ plane: Int
) -> UnsafeMutableRawPointer? { buffer.planes[plane].bytes }
// https://developer.apple.com/documentation/corevideo/kcvimagebufferycbcrmatrixkey
public let kCVImageBufferYCbCrMatrixKey: CFString = ""
// https://developer.apple.com/documentation/corevideo/cvbuffercopyattachment(_:_:_:)
@available(iOS 15.0, macOS 12.0, tvOS 15.0, visionOS 1.0, *)
public func CVBufferCopyAttachment(
    _ buffer: CVPixelBuffer, _ key: CFString, _ mode: UnsafeMutablePointer<UInt32>?
) -> AnyObject? { nil }
