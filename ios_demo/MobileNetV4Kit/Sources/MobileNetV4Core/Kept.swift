import Foundation

/// What this library keeps on a device from launch to launch.
package enum Kept {
    /// The seconds after which what was not used is removed: 90 days. An update of the app may bring
    /// other models, and nothing else removes what belongs to those of the version before.
    static let unused: TimeInterval = 90 * 24 * 3600

    /// Returns a folder for an app: in Application Support, or in Caches on tvOS, where apps have
    /// nothing else and the system may empty it.
    ///
    /// - Parameters:
    ///   - name: What it is for.
    ///   - family: The system.
    ///   - app: The app's bundle identifier; nil for a program without one. Programs without a sandbox
    ///     share the folder above.
    package static func folder(_ name: String, on family: AppleSystem.Family, app: String?) -> URL {
        let kind: FileManager.SearchPathDirectory =
            family == .tvOS ? .cachesDirectory : .applicationSupportDirectory
        let found = FileManager.default.urls(for: kind, in: .userDomainMask).first
        return (found ?? FileManager.default.temporaryDirectory)
            .appendingPathComponent("\(app ?? "mnv4")/mnv4/\(name)")
    }

    /// Keeps a folder out of backups: another device makes its own. A backup with it is no reason to
    /// fail.
    static func excludeFromBackup(_ folder: URL) {
        var values = URLResourceValues()
        values.isExcludedFromBackup = true
        var folder = folder
        try? folder.setResourceValues(values)
    }

    /// Notes that a file or folder is used now.
    static func use(_ file: URL) {
        try? FileManager.default.setAttributes(
            [.modificationDate: Date()], ofItemAtPath: file.path)
    }

    /// Tells whether a file or folder was used in the last ``unused`` seconds.
    static func isUsed(_ file: URL) -> Bool {
        let about = try? FileManager.default.attributesOfItem(atPath: file.path)
        guard let used = about?[.modificationDate] as? Date else { return false }
        return -used.timeIntervalSinceNow < unused
    }
}
