import Foundation

/// A version of iOS, or of macOS.
package struct AppleSystem: Sendable, Equatable {
    /// A family of systems with version numbers of its own.
    package enum Family: String, Sendable {
        /// iOS and iPadOS.
        case iOS
        /// macOS, also under Mac Catalyst.
        case macOS
    }

    /// The family.
    package let family: Family
    /// The first part of the version.
    package let major: Int

    /// Makes a version from its parts.
    package init(_ family: Family, _ major: Int) {
        self.family = family
        self.major = major
    }

    /// The version that this code runs on.
    package static var current: AppleSystem {
        let major = ProcessInfo.processInfo.operatingSystemVersion.majorVersion
        #if os(macOS) || targetEnvironment(macCatalyst)
            return AppleSystem(.macOS, major)
        #else
            return AppleSystem(.iOS, major)
        #endif
    }

    /// Checks that this version runs a bundle's artifact.
    ///
    /// - Throws: ``Failure/unsupported(_:)``, which names the least version, if it does not;
    ///   ``Failure/badBundle(_:)`` if the bundle's version is not a number.
    package func check(_ manifest: MobileNetV4.Manifest) throws {
        guard let found = manifest.requires["coreml.min_ios"] else { return }
        guard let least = Int(found), (1...1000).contains(least) else {
            throw MobileNetV4.Failure.badBundle(
                "\(manifest.id): requires.coreml.min_ios: found '\(found)', must be a version of "
                    + "iOS as in 17")
        }
        // iOS 16 came with macOS 13, iOS 18 with macOS 15; from 26 on the numbers are the same.
        let wanted = family == .macOS && least < 26 ? least - 3 : least
        guard major >= wanted else {
            throw MobileNetV4.Failure.unsupported(
                "\(manifest.id): needs \(family.rawValue) \(wanted), this is "
                    + "\(family.rawValue) \(major)")
        }
    }
}
