import Foundation

/// Loads a bundle into a runtime of the system.
protocol SystemLoader: MobileNetV4.SessionLoader {
    /// The units that were chosen: in the Simulator not those that were asked for.
    var unit: MobileNetV4.ComputeUnit { get set }

    /// Compiles the model if that was not done yet, because load times do not include compiling.
    func compile() async throws
}

extension SystemLoader {
    var conditions: [String: MobileNetV4.Condition] { ["compute_unit": .text(unit.rawValue)] }
}

extension MobileNetV4 {
    /// Checks a bundle and returns the loader of the runtime that it is for.
    ///
    /// - Throws: ``Failure`` if the bundle is damaged, for another runtime, or for a newer system.
    static func systemLoader(
        _ bundle: ModelBundle, computeUnit: ComputeUnit?
    ) throws -> any SystemLoader {
        try bundle.check(targets: "coreml", "coreai")
        guard bundle.manifest.target == "coreai" else {
            return try CoreMLLoader(bundle, computeUnit: computeUnit)
        }
        try bundle.checkForThisSystem()
        #if canImport(CoreAI)
            guard #available(iOS 27.0, macOS 27.0, tvOS 27.0, visionOS 27.0, *) else {
                throw Failure.unsupported(
                    "\(bundle.manifest.id): needs Core AI, which this system lacks")
            }
            return try CoreAILoader(bundle, computeUnit: computeUnit)
        #else
            throw Failure.unsupported(
                "\(bundle.manifest.id): needs Core AI, which this app was built without: "
                    + "build it with Xcode 27 or newer, and not for the Simulator")
        #endif
    }
}

extension MobileNetV4.ModelBundle {
    /// Checks that this system is new enough for the bundle, and that the artifact is undamaged.
    func checkForThisSystem() throws {
        try AppleSystem.current.check(manifest)
        try checkArtifact()
    }
}

extension OperatingSystemVersion {
    /// The version as in `27.0.1`.
    var text: String { "\(majorVersion).\(minorVersion).\(patchVersion)" }
}
