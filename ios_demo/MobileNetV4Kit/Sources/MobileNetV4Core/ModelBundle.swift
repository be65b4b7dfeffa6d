import Foundation

extension MobileNetV4 {
    /// An artifact with its manifest and golden pairs: a folder that `mnv4 build` wrote.
    public struct ModelBundle: Sendable {
        /// The bundle's folder.
        public let folder: URL
        /// The bundle's manifest, for the input size that was chosen.
        public let manifest: Manifest

        /// Reads a bundle's manifest; ``checkArtifact()`` reads the artifact.
        ///
        /// - Parameters:
        ///   - folder: The bundle's folder.
        ///   - inputSize: One of ``Manifest/inputSizes``; nil for the default. Preprocessing, outputs
        ///     and golden pairs are those of this size.
        /// - Throws: ``Failure/badBundle(_:)`` if there is no manifest, or it cannot be used;
        ///   ``Failure/unsupported(_:)`` if the artifact does not take the input size.
        public init(folder: URL, inputSize: InputSize? = nil) throws {
            let file = folder.appendingPathComponent("manifest.json")
            guard FileManager.default.fileExists(atPath: file.path) else {
                throw Failure.badBundle("\(folder.path): not a bundle: it has no manifest.json")
            }
            let json = try Self.read(file, atMost: Self.mostManifest)
            self.folder = folder
            do {
                manifest = try Manifest(json: json).at(inputSize: inputSize)
            } catch Failure.badBundle(let why) {
                throw Failure.badBundle("\(folder.path): \(why)")
            }
        }

        /// Far above the size of a manifest with the labels of ImageNet-21k.
        private static let mostManifest = 8 << 20

        /// Returns the bytes of a file. A link could lead anywhere, and a pipe never ends.
        private static func read(_ file: URL, atMost limit: Int) throws -> Data {
            guard
                let about = try? FileManager.default.attributesOfItem(atPath: file.path),
                let size = (about[.size] as? NSNumber)?.intValue
            else { throw Failure.badBundle("\(file.path): missing") }
            guard about[.type] as? FileAttributeType == .typeRegular else {
                throw Failure.badBundle(
                    "\(file.path): is no file, but a folder, a link or a device")
            }
            guard size <= limit else {
                throw Failure.badBundle(
                    "\(file.path): found \(size) bytes, must be \(limit) at most")
            }
            do {
                return try Data(contentsOf: file)
            } catch {
                throw Failure.badBundle(
                    "\(file.path): cannot be read: \(error.localizedDescription)")
            }
        }

        /// The artifact's file or folder.
        public var artifact: URL { folder.appendingPathComponent(manifest.artifact.path) }

        /// Checks that the bundle is for one of these runtimes.
        ///
        /// - Throws: ``Failure/badBundle(_:)``, which names the runtime that it is for.
        public func check(targets: String...) throws {
            guard targets.contains(manifest.target) else {
                throw Failure.badBundle(
                    "\(manifest.id): is for \(manifest.target), allowed here: "
                        + targets.joined(separator: ", "))
            }
        }

        /// Reads the whole artifact and compares its hash with that of the manifest.
        ///
        /// - Throws: ``Failure/badBundle(_:)`` if it is missing or damaged.
        public func checkArtifact() throws {
            let path = manifest.artifact.path
            let found: String
            do {
                found = try Digest.sha256(of: artifact)
            } catch let wrong as Failure {
                throw wrong
            } catch {
                throw Failure.badBundle(
                    "\(folder.path): \(path): cannot be read: \(error.localizedDescription)")
            }
            try check(path, found, manifest.artifact.sha256)
        }

        private func check(_ path: String, _ found: String, _ wanted: String) throws {
            guard found == wanted else {
                throw Failure.badBundle(
                    "\(folder.path): \(path): damaged: sha256 \(found.prefix(12))..., the manifest "
                        + "says \(wanted.prefix(12))...")
            }
        }

        /// Returns the golden tensors of a source by name, as little-endian bytes.
        ///
        /// - Throws: ``Failure/badBundle(_:)`` if a file is missing or damaged.
        public func golden(_ source: GoldenSpec.Source) throws -> [String: Data] {
            var found: [String: Data] = [:]
            for entry in manifest.golden where entry.source == source {
                let file = folder.appendingPathComponent(entry.path)
                let wanted = entry.shape.reduce(entry.dtype.bytes, *)
                let data = try Self.read(file, atMost: wanted)
                guard data.count == wanted else {
                    throw Failure.badBundle(
                        "\(file.path): found \(data.count) bytes, must be \(wanted)")
                }
                try check(entry.path, Digest.sha256(data), entry.sha256)
                found[entry.tensor] = data
            }
            return found
        }
    }
}
