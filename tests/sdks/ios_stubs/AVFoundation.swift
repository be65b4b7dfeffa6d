@_exported import CoreMedia
@_exported import Foundation
import UIKit

// https://developer.apple.com/documentation/avfoundation/avmediatype
public struct AVMediaType: Sendable {
    public static var video: AVMediaType { AVMediaType() }
}
// https://developer.apple.com/documentation/avfoundation/avcapturedevice
public class AVCaptureDevice: NSObject {
    public class func requestAccess(for mediaType: AVMediaType) async -> Bool { true }
    public class func `default`(for mediaType: AVMediaType) -> AVCaptureDevice? { nil }
}
// https://developer.apple.com/documentation/avfoundation/avcaptureinput
public class AVCaptureInput: NSObject {}
// https://developer.apple.com/documentation/avfoundation/avcapturedeviceinput
public class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
}
// https://developer.apple.com/documentation/avfoundation/avcaptureoutput
public class AVCaptureOutput: NSObject {}
// https://developer.apple.com/documentation/avfoundation/avcaptureconnection
public class AVCaptureConnection: NSObject {}
// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutputsamplebufferdelegate
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection)
}
// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutput
public class AVCaptureVideoDataOutput: AVCaptureOutput {
    public override init() {}
    public var videoSettings: [String: Any]! = [:]
    public var alwaysDiscardsLateVideoFrames = true
    public func setSampleBufferDelegate(
        _ delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
    ) {}
}
// https://developer.apple.com/documentation/avfoundation/avcapturesession
public class AVCaptureSession: NSObject {
    public struct Preset: Sendable {
        public static var vga640x480: Preset { Preset() }
    }
    public override init() {}
    public var sessionPreset = Preset()
    public var inputs: [AVCaptureInput] { [] }
    public func beginConfiguration() {}
    public func commitConfiguration() {}
    public func canAddInput(_ input: AVCaptureInput) -> Bool { true }
    public func canAddOutput(_ output: AVCaptureOutput) -> Bool { true }
    public func addInput(_ input: AVCaptureInput) {}
    public func addOutput(_ output: AVCaptureOutput) {}
    public func startRunning() {}
    public func stopRunning() {}
}
// https://developer.apple.com/documentation/avfoundation/avlayervideogravity
public struct AVLayerVideoGravity: Sendable {
    public static var resizeAspectFill: AVLayerVideoGravity { AVLayerVideoGravity() }
}
// https://developer.apple.com/documentation/avfoundation/avcapturevideopreviewlayer
public class AVCaptureVideoPreviewLayer: CALayer {
    public var session: AVCaptureSession?
    public var videoGravity = AVLayerVideoGravity()
}
