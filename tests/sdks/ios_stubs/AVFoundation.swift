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
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/default(_:for:position:)
    public class func `default`(
        _ deviceType: DeviceType, for mediaType: AVMediaType?, position: Position
    ) -> AVCaptureDevice? { nil }
    public var activeFormat: Format { Format() }
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/activevideominframeduration
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/activevideomaxframeduration
    public var activeVideoMinFrameDuration: CMTime { get { .invalid } set {} }
    public var activeVideoMaxFrameDuration: CMTime { get { .invalid } set {} }
    public func lockForConfiguration() throws {}
    public func unlockForConfiguration() {}
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/devicetype-swift.struct
    public struct DeviceType: Sendable {
        public static var builtInWideAngleCamera: DeviceType { DeviceType() }
    }
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/position-swift.enum
    public enum Position: Int, Sendable { case unspecified, back, front }
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/format
    public class Format: NSObject {
        public var formatDescription: CMFormatDescription { CMFormatDescription() }
        public var videoSupportedFrameRateRanges: [AVFrameRateRange] { [] }
    }
    // https://developer.apple.com/documentation/avfoundation/avcapturedevice/rotationcoordinator
    @available(iOS 17.0, macOS 14.0, tvOS 17.0, *)
    public class RotationCoordinator: NSObject {
        public init(device: AVCaptureDevice, previewLayer: CALayer?) {}
        public var videoRotationAngleForHorizonLevelPreview: CGFloat { 0 }
    }
}
// https://developer.apple.com/documentation/avfoundation/avframeraterange
public class AVFrameRateRange: NSObject {
    public var minFrameDuration: CMTime { .invalid }
    public var maxFrameDuration: CMTime { .invalid }
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
public class AVCaptureConnection: NSObject {
    // https://developer.apple.com/documentation/avfoundation/avcaptureconnection/videoorientation
    // deprecated from iOS 17 on
    public var videoOrientation = AVCaptureVideoOrientation.portrait
    // https://developer.apple.com/documentation/avfoundation/avcaptureconnection/videorotationangle
    @available(iOS 17.0, macOS 14.0, tvOS 17.0, *)
    public var videoRotationAngle: CGFloat { get { 0 } set {} }
    @available(iOS 17.0, macOS 14.0, tvOS 17.0, *)
    public func isVideoRotationAngleSupported(_ angle: CGFloat) -> Bool { true }
}
// https://developer.apple.com/documentation/avfoundation/avcapturevideoorientation
public enum AVCaptureVideoOrientation: Int, Sendable {
    case portrait = 1, portraitUpsideDown, landscapeRight, landscapeLeft
}
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
    // https://developer.apple.com/documentation/avkit/accessing-the-camera-while-multitasking-on-ipad
    @available(iOS 16.0, *)
    public var isMultitaskingCameraAccessSupported: Bool { true }
    @available(iOS 16.0, *)
    public var isMultitaskingCameraAccessEnabled: Bool { get { true } set {} }
}
// https://developer.apple.com/documentation/avfoundation/avlayervideogravity
public struct AVLayerVideoGravity: Sendable {
    public static var resizeAspect: AVLayerVideoGravity { AVLayerVideoGravity() }
}
// https://developer.apple.com/documentation/avfoundation/avcapturevideopreviewlayer
public class AVCaptureVideoPreviewLayer: CALayer {
    public var session: AVCaptureSession?
    public var videoGravity = AVLayerVideoGravity()
    public var connection: AVCaptureConnection? { nil }
}
