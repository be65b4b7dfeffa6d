import Foundation
import MobileNetV4Core

/// The clockwise turn that makes the frames of the back camera upright on the screen.
struct Turn: Equatable {
    /// The turn in degrees: 0, 90, 180 or 270.
    let degrees: Int

    /// A phone that is held upright.
    static let portrait = Turn(angle: 90)

    /// Makes the turn for an angle of `AVCaptureDevice.RotationCoordinator`.
    init(angle: Double) {
        let quarters = Int((angle / 90).rounded())
        degrees = ((quarters % 4) + 4) % 4 * 90
    }

    /// Makes the turn for the raw value of a `UIInterfaceOrientation`, for systems before iOS 17,
    /// which have no coordinator.
    ///
    /// The rows of a frame are parallel to the long side of the device. A frame is upright if the
    /// device's lower end is on the right (3).
    init(interface: Int) {
        degrees = [1: 90, 2: 270, 3: 0, 4: 180][interface] ?? 90
    }
}

/// Upright images on a preview that shows all of each image, such as a camera's frames.
struct Viewfinder: Equatable {
    /// The width of an upright image in pixels.
    let width: Int
    /// The height of an upright image in pixels.
    let height: Int

    /// Makes it for a camera's frames.
    ///
    /// - Parameters:
    ///   - width: The width of a frame before the turn.
    ///   - height: The height of a frame before the turn.
    ///   - turn: The turn that makes it upright.
    init(width: Int, height: Int, turn: Turn) {
        let upright = turn.degrees % 180 == 0
        (self.width, self.height) = upright ? (width, height) : (height, width)
    }

    /// Makes it for one image.
    init(_ image: any MobileNetV4.PixelSource) {
        (width, height) = (image.uprightWidth, image.uprightHeight)
    }

    /// Returns where a preview shows what the network sees: it is as large as possible, in the
    /// preview's middle, which is the gravity `resizeAspect`.
    func box(_ spec: MobileNetV4.PreprocessSpec, in preview: CGRect) -> CGRect {
        let (width, height) = (CGFloat(width), CGFloat(height))
        let scale = min(preview.width / width, preview.height / height)
        let crop = spec.crop(width: self.width, height: self.height)
        return CGRect(
            x: preview.midX + (crop.minX - width / 2) * scale,
            y: preview.midY + (crop.minY - height / 2) * scale,
            width: crop.width * scale, height: crop.height * scale)
    }
}
