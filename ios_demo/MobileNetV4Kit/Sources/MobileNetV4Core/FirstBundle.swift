import Foundation

extension MobileNetV4 {
    /// Opens the first bundle that can be opened.
    ///
    /// - Parameters:
    ///   - folders: The bundles' folders, the preferred one first.
    ///   - open: Opens a bundle. If it throws a ``Failure``, the next bundle is tried.
    /// - Throws: ``Failure/unsupported(_:)``, which says of each bundle why it cannot be opened.
    package static func first<Opened>(
        of folders: [URL], open: (URL) async throws -> Opened
    ) async throws -> Opened {
        var reasons: [String] = []
        for folder in folders {
            do {
                return try await open(folder)
            } catch let failure as Failure {
                reasons.append(failure.description)
            }
        }
        throw Failure.unsupported(
            "found \(folders.count) bundles, none can be opened here"
                + reasons.map { "; \($0)" }.joined())
    }
}
