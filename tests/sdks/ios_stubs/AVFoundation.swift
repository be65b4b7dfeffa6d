@_exported import CoreMedia
@_exported import Foundation
import UIKit

public struct AVMediaType: Sendable {
    public static var video: AVMediaType { AVMediaType() }
}
public class AVCaptureDevice: NSObject {
    public class func requestAccess(for mediaType: AVMediaType) async -> Bool { true }
    public class func `default`(for mediaType: AVMediaType) -> AVCaptureDevice? { nil }
}
public class AVCaptureInput: NSObject {}
public class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
}
public class AVCaptureOutput: NSObject {}
public class AVCaptureConnection: NSObject {}
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: AnyObject {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection)
}
public class AVCaptureVideoDataOutput: AVCaptureOutput {
    public override init() {}
    public var videoSettings: [String: Any]! = [:]
    public var alwaysDiscardsLateVideoFrames = true
    public func setSampleBufferDelegate(
        _ delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
    ) {}
}
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
public struct AVLayerVideoGravity: Sendable {
    public static var resizeAspectFill: AVLayerVideoGravity { AVLayerVideoGravity() }
}
public class AVCaptureVideoPreviewLayer: CALayer {
    public var session: AVCaptureSession?
    public var videoGravity = AVLayerVideoGravity()
}
