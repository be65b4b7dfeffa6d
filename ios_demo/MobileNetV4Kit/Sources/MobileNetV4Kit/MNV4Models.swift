// swift-format-ignore-file

// `mnv4 sdk ios` writes this file anew.
extension MNV4Model {
    /// All bundles in this package's resources.
    public static let all: [MNV4Model] = []
}
