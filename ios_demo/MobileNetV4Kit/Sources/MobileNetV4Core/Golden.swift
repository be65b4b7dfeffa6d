import Foundation

extension MobileNetV4 {
    /// A bundle's golden pairs, with which a device checks itself.
    public struct Golden: Sendable {
        /// The number of golden images to check, as in `mnv4 measure`.
        private static let checked = 2

        private let manifest: Manifest
        private let pixels: [UInt8]
        private let expected: [String: Data]
        private let count: Int
        /// The golden tensors of the float model's outputs, in the manifest's order.
        private let entries: [GoldenSpec]

        /// Reads the golden pairs of a bundle.
        ///
        /// - Throws: ``Failure/badBundle(_:)`` if the bundle has none.
        public init(_ bundle: ModelBundle) throws {
            manifest = bundle.manifest
            guard let pixels = try bundle.golden(.input)["pixels"] else {
                throw Failure.badBundle("\(manifest.id): golden: lacks pixels")
            }
            self.pixels = Array(pixels)
            let expected = try bundle.golden(.eager)
            self.expected = expected
            let size = manifest.preprocess
            let count = min(pixels.count / (size.height * size.width * 3), Self.checked)
            self.count = count
            let eager = manifest.golden.filter { $0.source == .eager }
            entries = try bundle.manifest.outputs.map { output in
                let found = expected[output.name]?.count ?? 0
                guard let entry = eager.first(where: { $0.tensor == output.name }),
                    count > 0, found >= count * output.count * entry.dtype.bytes
                else {
                    throw Failure.badBundle(
                        "\(bundle.manifest.id): golden: lacks pixels, or \(output.name) for them")
                }
                return entry
            }
        }

        /// Returns the RGB pixels of one image, at the network's size.
        public func image(_ index: Int) -> [UInt8] {
            let length = manifest.preprocess.height * manifest.preprocess.width * 3
            return Array(pixels[index * length..<(index + 1) * length])
        }

        /// Compares the network's outputs on this device with those of the float model.
        ///
        /// - Returns: The SQNR in dB of the worst output, as the median over the images.
        /// - Throws: ``Failure/wrongOutput(_:)`` if an output missed its gate.
        public func check(_ model: MobileNetV4) async throws -> Double {
            try check(await outputs(of: model))
        }

        /// Returns the network's outputs for every image on this device.
        func outputs(of model: MobileNetV4) async throws -> [[[Float]]] {
            var found: [[[Float]]] = []
            for i in 0..<count { found.append(try await model.runPixels(image(i)).values) }
            return found
        }

        /// Compares the outputs for every image with those of the float model.
        func check(_ outputs: [[[Float]]]) throws -> Double {
            var ratios = manifest.outputs.map { _ in [Double]() }
            for (i, found) in outputs.enumerated() {
                for (j, entry) in entries.enumerated() {
                    let wanted = try self.wanted(manifest.outputs[j], entry, i)
                    ratios[j].append(Scores.sqnrDb(expected: wanted, found: found[j]))
                }
            }
            var worst = Double.infinity
            for (entry, ratios) in zip(entries, ratios) {
                guard let ratio = Statistics(ratios)?.percentile(50) else { continue }
                let gate = entry.minSqnrDb ?? .infinity
                guard ratio >= gate else {
                    throw Failure.wrongOutput(
                        "output \(entry.tensor): \(String(format: "%.1f", ratio)) dB, "
                            + "must be \(gate) or more")
                }
                worst = min(worst, ratio)
            }
            return worst
        }

        /// Returns the float model's output for an image.
        private func wanted(_ output: TensorSpec, _ entry: GoldenSpec, _ index: Int) throws
            -> [Float]
        {
            let one = TensorSpec(
                name: output.name, kind: output.kind, shape: output.shape, dtype: entry.dtype,
                layout: output.layout)
            guard let data = expected[output.name] else { return [] }
            return try data.withUnsafeBytes { bytes in
                try one.floats(UnsafeRawBufferPointer(rebasing: bytes[(index * one.bytes)...]))
            }
        }
    }
}
