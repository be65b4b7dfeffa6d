import Foundation

/// Everything that this library throws on purpose. The text names what was found and what is
/// allowed.
public enum MNV4Error: Error, Equatable {
    /// A bundle that is incomplete, damaged, written by a newer version of the generator, or for
    /// another runtime.
    case badBundle(String)
    /// A picture that cannot be used.
    case badPicture(String)
    /// The bundle does not have what was asked of it: classes, an embedding, feature maps.
    case unsupported(String)
    /// A job or a plan of a measurement that cannot be followed.
    case badPlan(String)
    /// The runtime failed while loading or running the network.
    case runtimeFailed(String)
}

extension MNV4Error: LocalizedError, CustomStringConvertible {
    /// What went wrong.
    public var description: String {
        switch self {
        case .badBundle(let text), .badPicture(let text), .unsupported(let text),
            .badPlan(let text), .runtimeFailed(let text):
            return text
        }
    }

    /// The same, for an alert.
    public var errorDescription: String? { description }
}
