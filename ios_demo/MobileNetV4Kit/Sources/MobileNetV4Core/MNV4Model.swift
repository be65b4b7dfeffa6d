import Foundation

/// A bundle in a package's resources; `mnv4 sdk ios` writes a constant for each that there is.
public struct MNV4Model: Sendable, Hashable, Identifiable {
    /// The bundle's.
    public let id: String
    /// Its folder, as it was built.
    public let folder: URL

    /// A bundle of this name in a package's resources.
    public init(id: String, in resources: Bundle) {
        self.id = id
        folder = resources.bundleURL.appendingPathComponent("mnv4/\(id)")
    }
}
