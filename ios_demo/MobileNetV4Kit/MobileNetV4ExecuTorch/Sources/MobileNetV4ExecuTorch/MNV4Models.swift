// swift-format-ignore-file
@_exported import MobileNetV4Kit

// `mnv4 sdk ios` writes this file anew.
extension MNV4Model {
    /// All bundles in this package's resources.
    public static let allExecuTorch: [MNV4Model] = []
}
