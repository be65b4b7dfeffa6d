@_exported import CoreVideo
import Foundation

// https://developer.apple.com/documentation/coremedia/cmsamplebuffer
public class CMSampleBuffer {}
// https://developer.apple.com/documentation/coremedia/cmsamplebuffergetimagebuffer(_:)
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVImageBuffer? { nil }
// https://developer.apple.com/documentation/coremedia/cmtime
public struct CMTime: Sendable, Comparable {
    public init(value: Int64, timescale: Int32) {}
    public static let invalid = CMTime(value: 0, timescale: 0)
    public static func < (a: CMTime, b: CMTime) -> Bool { false }
    public var seconds: Double { 0 }
}
// https://developer.apple.com/documentation/coremedia/cmsamplebuffergetpresentationtimestamp(_:)
public func CMSampleBufferGetPresentationTimeStamp(_ buffer: CMSampleBuffer) -> CMTime { .invalid }
// https://developer.apple.com/documentation/coremedia/cmformatdescription
public class CMFormatDescription { public init() {} }
// https://developer.apple.com/documentation/coremedia/cmvideodimensions
public struct CMVideoDimensions: Sendable {
    public var width: Int32
    public var height: Int32
}
// https://developer.apple.com/documentation/coremedia/cmvideoformatdescriptiongetdimensions(_:)
public func CMVideoFormatDescriptionGetDimensions(
    _ description: CMFormatDescription
) -> CMVideoDimensions { CMVideoDimensions(width: 0, height: 0) }
