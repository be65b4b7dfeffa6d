import Foundation

extension MobileNetV4 {
    /// A bundle in a package's resources; `mnv4 sdk ios` writes a constant for each.
    public struct Model: Sendable, Hashable, Identifiable {
        /// The bundle's id in the app: the name of its models package, and its own id.
        public let id: String
        /// The bundle's folder.
        public let folder: URL

        /// Finds the bundle with this id in a package's resources.
        public init(id: String, in resources: Bundle) {
            self.id = id
            // macOS and Catalyst keep resources in Contents/Resources, iOS beside Info.plist.
            let root = resources.resourceURL ?? resources.bundleURL
            folder = root.appendingPathComponent("mnv4/\(id)")
        }
    }
}
