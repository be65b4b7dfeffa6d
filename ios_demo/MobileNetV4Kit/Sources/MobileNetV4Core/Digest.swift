import Foundation

#if !os(Linux)
    import CryptoKit
#endif

/// Computes the hashes of files and folders that manifests contain.
enum Digest {
    /// Returns the SHA-256 of a file's bytes. For a folder, it is the SHA-256 of one line
    /// `<sha256>  <path>` for each file in it, ordered by path, folder by folder.
    ///
    /// - Throws: An error of the file system.
    static func sha256(of url: URL) throws -> String {
        let path = url.path
        guard try isFolder(url) else {
            return try sha256(Data(contentsOf: url, options: .mappedIfSafe))
        }
        // subpaths includes hidden files and follows no links.
        let paths = try FileManager.default.subpathsOfDirectory(atPath: path)
        let ordered = paths.map { $0.split(separator: "/").map(String.init) }
            .sorted { a, b in a.lexicographicallyPrecedes(b, by: bytewise) }
        var lines = ""
        for parts in ordered {
            let name = parts.joined(separator: "/")
            let file = url.appendingPathComponent(name)
            if try !isFolder(file) { lines += "\(try sha256(of: file))  \(name)\n" }
        }
        return sha256(Data(lines.utf8))
    }

    /// Tells a folder from a file. A link could lead anywhere, and a pipe never ends.
    private static func isFolder(_ url: URL) throws -> Bool {
        let about = try FileManager.default.attributesOfItem(atPath: url.path)
        switch about[.type] as? FileAttributeType {
        case .typeDirectory?: return true
        case .typeRegular?: return false
        default:
            throw MobileNetV4.Failure.badBundle(
                "\(url.path): is a link or a device, must be a file or a folder")
        }
    }

    /// Orders strings by code points, as Python does. Swift orders them by their characters.
    private static func bytewise(_ a: String, _ b: String) -> Bool {
        a.utf8.lexicographicallyPrecedes(b.utf8)
    }

    /// Returns the SHA-256 of bytes, in hexadecimal.
    static func sha256(_ data: Data) -> String {
        #if os(Linux)
            let digest = PlainSHA256.hash(data)
        #else
            let digest = SHA256.hash(data: data)
        #endif
        return digest.map { String(format: "%02x", $0) }.joined()
    }
}

#if os(Linux)
    /// SHA-256 (FIPS 180-4), for the tests on Linux.
    enum PlainSHA256 {
        static func hash(_ data: Data) -> [UInt8] {
            var state = initial
            let padded = data + padding(data.count)
            padded.withUnsafeBytes { bytes in
                for start in stride(from: 0, to: bytes.count, by: 64) {
                    block(UnsafeRawBufferPointer(rebasing: bytes[start..<start + 64]), &state)
                }
            }
            return state.flatMap { word in
                (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) }
            }
        }

        private static func padding(_ count: Int) -> Data {
            let zeros = (119 - count % 64) % 64
            let bits = UInt64(count) * 8
            return Data([0x80]) + Data(count: zeros)
                + Data((0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) })
        }

        private static func block(_ bytes: UnsafeRawBufferPointer, _ state: inout [UInt32]) {
            var w = [UInt32](repeating: 0, count: 64)
            for i in 0..<16 {
                w[i] = UInt32(
                    bigEndian: bytes.loadUnaligned(fromByteOffset: 4 * i, as: UInt32.self))
            }
            for i in 16..<64 {
                let s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >> 3)
                let s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >> 10)
                w[i] = w[i - 16] &+ s0 &+ w[i - 7] &+ s1
            }
            var (a, b, c, d) = (state[0], state[1], state[2], state[3])
            var (e, f, g, h) = (state[4], state[5], state[6], state[7])
            for i in 0..<64 {
                let s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
                let t1 = h &+ s1 &+ ((e & f) ^ (~e & g)) &+ constants[i] &+ w[i]
                let s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
                let t2 = s0 &+ ((a & b) ^ (a & c) ^ (b & c))
                (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
            }
            for (i, value) in [a, b, c, d, e, f, g, h].enumerated() { state[i] &+= value }
        }

        @inline(__always)
        private static func turn(_ x: UInt32, _ n: UInt32) -> UInt32 { x >> n | x << (32 - n) }

        /// The primes from whose roots the constants come: the first 32 bits of the fractions.
        private static let primes = (2...311).filter { n in !(2..<n).contains { n % $0 == 0 } }
        private static let initial = primes.prefix(8).map { fraction(Double($0).squareRoot()) }
        private static let constants = primes.map { fraction(cbrt(Double($0))) }

        private static func fraction(_ x: Double) -> UInt32 {
            UInt32((x - x.rounded(.down)) * 4_294_967_296)
        }
    }
#endif
