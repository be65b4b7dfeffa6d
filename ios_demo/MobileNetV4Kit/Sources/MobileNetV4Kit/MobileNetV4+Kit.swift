import CoreGraphics
@preconcurrency import CoreImage
import CoreVideo
import Foundation
import ImageIO

extension MobileNetV4 {
    /// Opens a bundle from a package's resources.
    ///
    /// The first call on a device takes longest, because the system compiles the model.
    ///
    /// - Parameters:
    ///   - model: A constant of a package that `mnv4 sdk ios` wrote, for Core ML or Core AI.
    ///   - units: The units that the runtime may use. The Simulator always uses the CPU.
    ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default.
    /// - Throws: ``Failure`` if the bundle cannot be used, this system is too old for it, or the
    ///   runtime fails.
    public init(_ model: Model, units: Units = .built, inputSize: InputSize? = nil) async throws {
        try await self.init(folder: model.folder, units: units, inputSize: inputSize)
    }

    /// Opens the first of several bundles that this device can run, as those of one network for Core
    /// AI and for Core ML.
    ///
    /// ```swift
    /// let model = try await MobileNetV4(anyOf: [MainModels.digitsCoreai, MainModels.digitsCoreml])
    /// ```
    ///
    /// A bundle is passed over if this system is too old for it or it does not take the input size,
    /// and also if it is damaged or the runtime cannot compile it. ``manifest`` says which one is open.
    ///
    /// - Parameters:
    ///   - models: Constants of packages that `mnv4 sdk ios` wrote, the preferred one first.
    ///   - units: The units that the runtime may use. The Simulator always uses the CPU.
    ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default.
    /// - Throws: ``Failure/unsupported(_:)``, which says of each bundle why it cannot be opened;
    ///   another ``Failure`` if the runtime compiles the bundle but cannot load it.
    public init(
        anyOf models: [Model], units: Units = .built, inputSize: InputSize? = nil
    ) async throws {
        let opened = try await Self.first(of: models.map(\.folder)) { folder in
            try await Self.compiled(folder, units, inputSize)
        }
        try await self.init(opened)
    }

    /// Opens a bundle in any folder, for example one that was downloaded.
    ///
    /// - Parameters:
    ///   - folder: The bundle's folder.
    ///   - units: The units that the runtime may use. The Simulator always uses the CPU.
    ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default.
    /// - Throws: ``Failure`` if the bundle cannot be used, this system is too old for it, or the
    ///   runtime fails.
    public init(folder: URL, units: Units = .built, inputSize: InputSize? = nil) async throws {
        try await self.init(Self.compiled(folder, units, inputSize))
    }

    /// A bundle whose artifact is compiled, with its loader and how its units were chosen.
    private struct Compiled {
        let bundle: ModelBundle
        let loader: any SessionLoader
        var choice: UnitChoice?
    }

    private init(_ compiled: Compiled) async throws {
        try await self.init(
            bundle: compiled.bundle, loader: compiled.loader, unloadOn: .memoryWarning,
            choice: compiled.choice)
    }

    private static let choices = UnitChoices(
        folder: Kept.folder(
            "choices", on: AppleSystem.current.family, app: Bundle.main.bundleIdentifier),
        device: machine, system: ProcessInfo.processInfo.operatingSystemVersionString)

    private static func compiled(
        _ folder: URL, _ units: Units, _ inputSize: InputSize?
    ) async throws -> Compiled {
        let bundle = try ModelBundle(folder: folder, inputSize: inputSize)
        var loader = try systemLoader(bundle, computeUnit: units.named)
        guard units == .auto else {
            try await loader.compile()
            return Compiled(bundle: bundle, loader: loader)
        }
        let choice = try await choices.choice(for: bundle, available: Plan.Unit.available) {
            [loader] unit in
            var candidate = loader
            candidate.unit = unit
            try await candidate.compile()
            return candidate
        }
        loader.unit = choice.unit
        try await loader.compile()
        let chosen = ChosenLoader(loader, for: bundle, of: choices)
        return Compiled(bundle: bundle, loader: chosen, choice: choice)
    }

    /// Returns where a bundle's compiled model is, for other frameworks that run Core ML, as Vision
    /// does. It is compiled first if it does not exist.
    ///
    /// ```swift
    /// let url = try await MobileNetV4.compiledModel(folder: MainModels.all[0].folder)
    /// let model = try VNCoreMLModel(for: try await MLModel.load(contentsOf: url))
    /// ```
    ///
    /// Vision takes bundles that were built with `--input pixels`. Ask again after each launch of the
    /// app, as a system update brings another compiler.
    ///
    /// Core ML opens the function for the bundle's default input size. Those for the other sizes are
    /// named as in `size_96x128`, height first: pass the name in `MLModelConfiguration.functionName`.
    ///
    /// - Parameter folder: The bundle's folder.
    /// - Throws: ``Failure`` if the bundle cannot be used, this system is too old for it, or Core ML
    ///   fails.
    public static func compiledModel(folder: URL) async throws -> URL {
        try await CoreMLLoader(ModelBundle(folder: folder), computeUnit: nil).compiled.url()
    }

    /// Returns the most probable classes of an image, the most probable first.
    ///
    /// - Parameters:
    ///   - image: An image of any size.
    ///   - orientation: How it is stored, as ImageIO says. `UIImage.imageOrientation` has other
    ///     numbers: pass the `UIImage` itself.
    ///   - top: The number of classes.
    ///   - threshold: The lowest probability of a class that is returned.
    ///   - allow: The labels of the classes to choose from; nil for all.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        _ image: CGImage, orientation: CGImagePropertyOrientation = .up, top: Int = 5,
        threshold: Float = 0, allow: Set<String>? = nil
    ) async throws -> [Classification] {
        let pixels = try Images.pixels(of: image, orientation: orientation)
        return try await run(pixels).top(top, threshold: threshold, allow: allow)
    }

    /// Returns the most probable classes of an image file (JPEG, HEIC, PNG, ...), the most probable
    /// first. It is decoded on this actor's thread, not on the caller's.
    ///
    /// - Parameters:
    ///   - data: The file's content.
    ///   - top: The number of classes.
    ///   - threshold: The lowest probability of a class that is returned.
    ///   - allow: The labels of the classes to choose from; nil for all.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        _ data: Data, top: Int = 5, threshold: Float = 0, allow: Set<String>? = nil
    ) async throws -> [Classification] {
        try await run(decoding: { try Images.decode(data) }).top(
            top, threshold: threshold, allow: allow)
    }

    /// Returns the most probable classes of an image file, the most probable first. It is read and
    /// decoded on this actor's thread, not on the caller's.
    ///
    /// - Parameters:
    ///   - url: The file.
    ///   - top: The number of classes.
    ///   - threshold: The lowest probability of a class that is returned.
    ///   - allow: The labels of the classes to choose from; nil for all.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        contentsOf url: URL, top: Int = 5, threshold: Float = 0, allow: Set<String>? = nil
    ) async throws -> [Classification] {
        try await run(decoding: { try Images.decode(contentsOf: url) }).top(
            top, threshold: threshold, allow: allow)
    }
}

extension MobileNetV4 {
    /// Returns the most probable classes of an image of Core Image, the most probable first. It is
    /// rendered on this actor's thread, not on the caller's.
    ///
    /// - Parameters:
    ///   - image: An image with a limited extent.
    ///   - orientation: How it is stored, as ImageIO says.
    ///   - top: The number of classes.
    ///   - threshold: The lowest probability of a class that is returned.
    ///   - allow: The labels of the classes to choose from; nil for all.
    ///   - isolation: The caller's actor, which lets it keep the image.
    /// - Throws: ``Failure`` if anything goes wrong.
    public func classify(
        _ image: CIImage, orientation: CGImagePropertyOrientation = .up, top: Int = 5,
        threshold: Float = 0, allow: Set<String>? = nil,
        isolation: isolated (any Actor)? = #isolation
    ) async throws -> [Classification] {
        try await run(Recipe(image: image, orientation: orientation))
            .top(top, threshold: threshold, allow: allow)
    }

    private func run(_ recipe: Recipe) async throws -> Outputs {
        try await run(decoding: {
            try Images.pixels(of: recipe.image, orientation: recipe.orientation)
        })
    }

    /// An image to render. Apple's documentation says that threads may share it.
    private struct Recipe: @unchecked Sendable {
        let image: CIImage
        let orientation: CGImagePropertyOrientation
    }
}

extension MobileNetV4.FrameClassifier {
    /// Submits a camera frame, and replaces the one that waits. It never waits itself, so a capture
    /// delegate may call it.
    ///
    /// - Parameters:
    ///   - frame: BGRA, or YUV of 8 bits (`420f`, `420v`); nothing else may write to it.
    ///   - degrees: By how much the frame is turned clockwise to be upright.
    public func submit(_ frame: CVPixelBuffer, degrees: Int = 0) {
        submit(Result { try MobileNetV4.Images.pixels(of: frame, degrees: degrees) })
    }
}

#if canImport(UIKit)
    import UIKit

    extension MobileNetV4 {
        /// Returns the most probable classes of an image, turned as its `imageOrientation` says.
        ///
        /// - Parameters:
        ///   - image: An image of any size.
        ///   - top: The number of classes.
        ///   - threshold: The lowest probability of a class that is returned.
        ///   - allow: The labels of the classes to choose from; nil for all.
        /// - Throws: ``Failure`` if anything goes wrong.
        public func classify(
            _ image: UIImage, top: Int = 5, threshold: Float = 0, allow: Set<String>? = nil
        ) async throws -> [Classification] {
            let orientation = CGImagePropertyOrientation(image.imageOrientation)
            if let pixels = image.cgImage {
                return try await classify(
                    pixels, orientation: orientation, top: top, threshold: threshold, allow: allow)
            }
            guard let recipe = image.ciImage else {
                throw Failure.badImage("image: has no pixels")
            }
            return try await classify(
                recipe, orientation: orientation, top: top, threshold: threshold, allow: allow)
        }
    }

    extension CGImagePropertyOrientation {
        /// Returns ImageIO's orientation for UIKit's, which has other numbers.
        init(_ orientation: UIImage.Orientation) {
            switch orientation {
            case .up: self = .up
            case .upMirrored: self = .upMirrored
            case .down: self = .down
            case .downMirrored: self = .downMirrored
            case .left: self = .left
            case .leftMirrored: self = .leftMirrored
            case .right: self = .right
            case .rightMirrored: self = .rightMirrored
            @unknown default: self = .up
            }
        }
    }
#endif
