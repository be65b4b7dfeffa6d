import Foundation

extension MobileNetV4.PreprocessSpec {
    /// Returns the part of an upright image that the network sees, in the image's pixels.
    ///
    /// - Parameters:
    ///   - width: The width of the upright image, at least 1.
    ///   - height: Its height, at least 1.
    public func crop(width: Int, height: Int) -> CGRect {
        let resized = resized(width: width, height: height)
        let (left, top) = cropOrigin(in: resized)
        let (x, y) = (Double(width) / resized.width, Double(height) / resized.height)
        return CGRect(
            x: Double(left) * x, y: Double(top) * y,
            width: Double(self.width) * x, height: Double(self.height) * y)
    }

    /// Returns the size to which an image is resized before the crop, in whole numbers; doubles hold
    /// products of sides that integers might not.
    func resized(width: Int, height: Int) -> (width: Double, height: Double) {
        let (width, height) = (Double(width), Double(height))
        let toWidth = (Double(self.width) / crop).rounded(.down)
        let toHeight = (Double(self.height) / crop).rounded(.down)
        if toWidth == toHeight {
            let shorter = min(width, height)
            return (
                (toHeight * width / shorter).rounded(.down),
                (toHeight * height / shorter).rounded(.down)
            )
        }
        let ratio = min(height / toHeight, width / toWidth)
        return (
            (width / ratio).rounded(.toNearestOrEven), (height / ratio).rounded(.toNearestOrEven)
        )
    }

    /// Returns the first column and row of the crop in a resized image.
    func cropOrigin(in resized: (width: Double, height: Double)) -> (left: Int, top: Int) {
        (
            Int(((resized.width - Double(width)) / 2).rounded(.toNearestOrEven)),
            Int(((resized.height - Double(height)) / 2).rounded(.toNearestOrEven))
        )
    }
}
