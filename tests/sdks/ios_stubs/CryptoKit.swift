import Foundation

public protocol Digest: Sequence, Sendable where Element == UInt8 {}
public struct SHA256Digest: Digest {
    public func makeIterator() -> IndexingIterator<[UInt8]> { [UInt8]().makeIterator() }
}
public struct SHA256 {
    public static func hash<D: DataProtocol>(data: D) -> SHA256Digest { SHA256Digest() }
}
