import CryptoKit
import Foundation
import MobileNetV4Kit

/// Names an image by its hash.
func name<Hash: Digest>(_ hash: Hash) -> String {
    hash.map { String(format: "%02x", $0) }.joined()
}

/// Classifies an image once.
func classify(
    _ data: Data, known: inout [String: [MobileNetV4.Classification]], with network: MobileNetV4
) async throws -> [MobileNetV4.Classification] {
    let name = name(SHA256.hash(data: data))
    if let found = known[name] { return found }
    let found = try await network.classify(data)
    known[name] = found
    return found
}
