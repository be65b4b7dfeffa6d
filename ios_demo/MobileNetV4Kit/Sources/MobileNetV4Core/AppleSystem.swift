import Foundation

/// A version of one of Apple's systems.
package struct AppleSystem: Sendable, Equatable {
    /// A family of systems with version numbers of its own.
    package enum Family: String, Sendable {
        /// iOS and iPadOS.
        case iOS
        /// macOS, also under Mac Catalyst.
        case macOS
        /// tvOS, whose numbers are those of iOS.
        case tvOS
        /// visionOS.
        case visionOS

        /// Returns the version that came with an iOS; from 26 on all numbers are the same.
        func version(withIOS version: Int) -> Int {
            guard version < 26 else { return version }
            switch self {
            case .iOS, .tvOS: return version
            case .macOS: return version - 3
            case .visionOS: return max(version - 16, 1)
            }
        }
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
        #elseif os(tvOS)
            return AppleSystem(.tvOS, major)
        #elseif os(visionOS)
            return AppleSystem(.visionOS, major)
        #else
            return AppleSystem(.iOS, major)
        #endif
    }

    /// Checks that this version runs a bundle's artifact.
    ///
    /// - Throws: ``Failure/unsupported(_:)``, which names the least version, if it does not;
    ///   ``Failure/badBundle(_:)`` if the bundle's version is not a number.
    package func check(_ manifest: MobileNetV4.Manifest) throws {
        let key = "\(manifest.target).min_ios"
        guard let found = manifest.requires[key] else { return }
        guard let least = Int(found), (1...1000).contains(least) else {
            throw MobileNetV4.Failure.badBundle(
                "\(manifest.id): requires.\(key): found '\(found)', must be a version of iOS as in "
                    + "17")
        }
        let wanted = family.version(withIOS: least)
        guard major >= wanted else {
            throw MobileNetV4.Failure.unsupported(
                "\(manifest.id): needs \(family.rawValue) \(wanted), this is "
                    + "\(family.rawValue) \(major)")
        }
    }
}

extension MobileNetV4 {
    /// The maker's name for this model of device, as in `iPhone16,1`.
    public static var machine: String {
        var names = utsname()
        uname(&names)
        return withUnsafeBytes(of: names.machine) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
