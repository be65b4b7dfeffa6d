import Foundation

extension MobileNetV4 {
    /// Everything that this library throws on purpose. The text says what was found and what is
    /// allowed.
    public enum Failure: Error, Equatable {
        /// A bundle that is incomplete, damaged, written by a newer version of the generator, or for
        /// another runtime.
        case badBundle(String)
        /// An image that cannot be used.
        case badImage(String)
        /// The bundle does not have the requested output (classes, an embedding, feature maps) or
        /// input size, or needs a newer system.
        case unsupported(String)
        /// A job or a plan of a measurement that is not valid or not supported.
        case badPlan(String)
        /// An output is further from the float model's than the bundle allows.
        case wrongOutput(String)
        /// The runtime failed while loading or running the network.
        case runtimeFailed(String)
    }
}

extension MobileNetV4.Failure: LocalizedError, CustomStringConvertible {
    /// The message.
    public var description: String {
        switch self {
        case .badBundle(let text), .badImage(let text), .unsupported(let text),
            .badPlan(let text), .wrongOutput(let text), .runtimeFailed(let text):
            return text
        }
    }

    /// The same message, for an alert.
    public var errorDescription: String? { description }
}
