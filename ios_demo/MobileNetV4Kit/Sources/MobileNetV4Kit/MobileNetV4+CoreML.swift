import CoreGraphics
import CoreVideo
import Foundation

extension MobileNetV4 {
    /// Opens a bundle from a package's resources.
    ///
    /// The first call on a device takes longest, because Core ML compiles the package.
    ///
    /// - Parameters:
    ///   - model: A constant of a package that `mnv4 sdk ios` wrote.
    ///   - computeUnit: The units that Core ML may use; nil for those of the bundle. The
    ///     Simulator always uses the CPU.
    /// - Throws: ``Failure`` if the bundle cannot be used, this system is too old for it, or Core ML
    ///   fails.
    public init(_ model: Model, computeUnit: ComputeUnit? = nil) async throws {
        try await self.init(folder: model.folder, computeUnit: computeUnit)
    }

    /// Opens a bundle in any folder, for example one that was downloaded.
    ///
    /// - Parameters:
    ///   - folder: The bundle's folder.
    ///   - computeUnit: The units that Core ML may use; nil for those of the bundle. The
    ///     Simulator always uses the CPU.
    /// - Throws: ``Failure`` if the bundle cannot be used, this system is too old for it, or Core ML
    ///   fails.
    public init(folder: URL, computeUnit: ComputeUnit? = nil) async throws {
        let loader = try CoreMLLoader(folder, computeUnit: computeUnit)
        try await loader.compile()
        try await self.init(
            manifest: loader.manifest, loader: loader, unloadOn: .memoryWarning)
    }

    /// Returns the most probable classes of an image, the most probable first.
    ///
    /// - Parameters:
    ///   - image: An image of any size.
    ///   - orientation: How it must be turned; `UIImage.imageOrientation` has it.
    ///   - top: The number of classes.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        _ image: CGImage, orientation: Orientation = .upright, top: Int = 5
    ) async throws -> [Classification] {
        try await classify(Images.pixels(of: image, orientation: orientation), top: top)
    }

    /// Returns the most probable classes of a camera frame, the most probable first.
    ///
    /// A capture delegate must not wait; it passes on ``Images/pixels(of:degrees:)`` instead.
    ///
    /// - Parameters:
    ///   - frame: BGRA, or YUV of 8 bits (`420f`, `420v`); nothing else may write to it.
    ///   - degrees: By how much the frame is turned clockwise to be upright.
    ///   - top: The number of classes.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        _ frame: sending CVPixelBuffer, degrees: Int = 0, top: Int = 5
    ) async throws -> [Classification] {
        try await classify(Images.pixels(of: frame, degrees: degrees), top: top)
    }
}
