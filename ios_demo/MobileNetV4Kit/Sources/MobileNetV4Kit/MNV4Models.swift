// swift-format-ignore-file

// `mnv4 sdk ios` writes this file anew.
extension MobileNetV4.Model {
    /// All bundles in this package's resources.
    public static let all: [MobileNetV4.Model] = []
}
