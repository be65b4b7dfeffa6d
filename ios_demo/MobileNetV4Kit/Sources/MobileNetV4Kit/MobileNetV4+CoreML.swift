import CoreGraphics
import CoreVideo
import Foundation

extension MobileNetV4 {
    /// Opens a bundle of this package's resources.
    ///
    /// The first time on a device takes longest: Core ML compiles the package.
    ///
    /// - Parameters:
    ///   - model: One of ``MNV4Model/all``.
    ///   - computeUnit: What Core ML may use; nil is what the bundle was built for.
    /// - Throws: ``MNV4Error``: what is wrong with the bundle, or what Core ML says.
    public init(_ model: MNV4Model, computeUnit: ComputeUnit? = nil) async throws {
        try await self.init(folder: model.folder, computeUnit: computeUnit)
    }

    /// Opens a bundle in any folder, as an update over the air leaves it.
    ///
    /// - Parameters:
    ///   - folder: The bundle's.
    ///   - computeUnit: What Core ML may use; nil is what the bundle was built for.
    /// - Throws: ``MNV4Error``: what is wrong with the bundle, or what Core ML says.
    public init(folder: URL, computeUnit: ComputeUnit? = nil) async throws {
        let bundle = try ModelBundle(folder: folder)
        try bundle.check(target: "coreml")
        try bundle.checkArtifact()
        let loader = try CoreMLLoader(bundle, computeUnit: computeUnit)
        try await loader.compile()
        try await self.init(
            manifest: bundle.manifest, loader: loader, unloadOn: .memoryWarning)
    }

    /// The most probable classes of an image, the most probable first.
    ///
    /// - Parameters:
    ///   - image: Of any size.
    ///   - orientation: How it is to be turned; `UIImage.imageOrientation` says it.
    ///   - top: How many.
    /// - Throws: ``MNV4Error``: what went wrong.
    public func classify(
        _ image: CGImage, orientation: Orientation = .upright, top: Int = 5
    ) async throws -> [Classification] {
        try await classify(Pictures.pixels(of: image, orientation: orientation), top: top)
    }

    /// The most probable classes of a camera frame, the most probable first.
    ///
    /// A capture delegate, which must not wait, hands on ``Pictures/pixels(of:degrees:)`` instead.
    ///
    /// - Parameters:
    ///   - frame: BGRA, or YUV of 8 bits (`420f`, `420v`); nobody else may write to it.
    ///   - degrees: Clockwise, until it is upright.
    ///   - top: How many.
    /// - Throws: ``MNV4Error``: what went wrong.
    public func classify(
        _ frame: sending CVPixelBuffer, degrees: Int = 0, top: Int = 5
    ) async throws -> [Classification] {
        try await classify(Pictures.pixels(of: frame, degrees: degrees), top: top)
    }
}
