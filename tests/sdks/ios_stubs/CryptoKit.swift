import Foundation

// https://developer.apple.com/documentation/cryptokit/digest
public protocol Digest: Sequence, Sendable where Element == UInt8 {}
// https://developer.apple.com/documentation/cryptokit/sha256digest
public struct SHA256Digest: Digest {
    public func makeIterator() -> IndexingIterator<[UInt8]> { [UInt8]().makeIterator() }
}
// https://developer.apple.com/documentation/cryptokit/sha256
public struct SHA256 {
    public static func hash<D: DataProtocol>(data: D) -> SHA256Digest { SHA256Digest() }
}
