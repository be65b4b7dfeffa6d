// swift-format-ignore-file
@_exported import MobileNetV4Kit

// `mnv4 sdk ios` writes this file anew.
extension MobileNetV4.Model {
    /// All bundles in this package's resources.
    public static let allExecuTorch: [MobileNetV4.Model] = []
}
