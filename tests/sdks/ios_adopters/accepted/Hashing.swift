import CryptoKit
import Foundation
import MobileNetV4Kit

/// Names a picture by its hash.
func name<Hash: Digest>(_ hash: Hash) -> String {
    hash.map { String(format: "%02x", $0) }.joined()
}

/// Classifies a picture once.
func classify(
    _ data: Data, known: inout [String: [Classification]], with network: MobileNetV4
) async throws -> [Classification] {
    let name = name(SHA256.hash(data: data))
    if let found = known[name] { return found }
    let found = try await network.classify(Pictures.decode(data))
    known[name] = found
    return found
}
