@_exported import CoreVideo
import Foundation

// https://developer.apple.com/documentation/coremedia/cmsamplebuffer
public class CMSampleBuffer {}
// https://developer.apple.com/documentation/coremedia/cmsamplebuffergetimagebuffer(_:)
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVImageBuffer? { nil }
