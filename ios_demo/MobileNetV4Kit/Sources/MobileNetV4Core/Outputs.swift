extension MobileNetV4 {
    /// A feature map, whose values are in the order that ``layout`` says.
    public struct FeatureMap: Sendable, Equatable {
        /// The kind of the output: `stage_N`, or a name of a head of one's own.
        public let kind: String
        /// The shape: (1, C, H, W) or (1, H, W, C).
        public let shape: [Int]
        /// The order of the axes.
        public let layout: TensorSpec.Layout
        /// The values.
        public let values: [Float]
    }

    /// A network's outputs for one image.
    public struct Outputs: Sendable {
        private let manifest: Manifest
        /// The values of all outputs, in the manifest's order.
        public let values: [[Float]]
        /// How long the parts of the call took.
        public let times: Times

        /// How long the parts of a call took, in milliseconds.
        public struct Times: Sendable, Equatable {
            /// The time from the image to the network's input.
            public let preprocess: Double
            /// The time from the input to the outputs.
            public let network: Double

            /// Makes times, for example for the preview of a view.
            public init(preprocess: Double, network: Double) {
                self.preprocess = preprocess
                self.network = network
            }
        }

        init(manifest: Manifest, values: [[Float]], times: Times) {
            self.manifest = manifest
            self.values = values
            self.times = times
        }

        /// The probabilities of the classes, in the order of the labels; nil without a class output.
        public var probabilities: [Float]? {
            of("probabilities") ?? of("logits").map(Scores.softmax)
        }

        /// The pooled features; nil if the bundle does not output them.
        public var embedding: [Float]? { of("embedding") }

        /// The feature maps that the bundle outputs.
        public var featureMaps: [FeatureMap] {
            zip(manifest.outputs, values).compactMap { output, values in
                output.layout.map {
                    FeatureMap(kind: output.kind, shape: output.shape, layout: $0, values: values)
                }
            }
        }

        /// The values of all outputs by the names that the manifest gives them.
        public var byName: [String: [Float]] {
            Dictionary(uniqueKeysWithValues: zip(manifest.outputs.map(\.name), values))
        }

        /// Returns the values of the output with this name, as in `try outputs["embedding"]`.
        ///
        /// - Throws: ``Failure/unsupported(_:)`` if the bundle has no such output.
        public subscript(name: String) -> [Float] {
            get throws {
                let names = manifest.outputs.map(\.name)
                guard let index = names.firstIndex(of: name) else {
                    throw Failure.unsupported(
                        "\(manifest.id): has no output '\(name)', only "
                            + names.joined(separator: ", "))
                }
                return values[index]
            }
        }

        /// Returns the most probable classes, the most probable first.
        ///
        /// - Parameters:
        ///   - count: How many classes to return at most.
        ///   - threshold: The lowest probability of a class that is returned, from 0 to 1.
        ///   - allow: The labels of the classes that may be returned; nil for all. Probabilities
        ///     stay those among all classes.
        /// - Throws: ``Failure/unsupported(_:)`` if the bundle has no class output, or no class of
        ///   a label in `allow`, or if there is no such threshold.
        public func top(
            _ count: Int = 5, threshold: Float = 0, allow: Set<String>? = nil
        ) throws -> [Classification] {
            guard let probabilities else {
                let kinds = manifest.outputs.map(\.kind).joined(separator: ", ")
                throw Failure.unsupported("\(manifest.id): has no classes, only \(kinds)")
            }
            guard (0...1).contains(threshold) else {
                throw Failure.unsupported("threshold: found \(threshold), must be from 0 to 1")
            }
            let labels = manifest.labels ?? probabilities.indices.map(String.init)
            let strange = (allow ?? []).subtracting(labels).sorted().joined(separator: ", ")
            guard strange.isEmpty else {
                throw Failure.unsupported(
                    "allow: found \(strange), which are no classes of \(manifest.id)")
            }
            return Scores.top(
                probabilities, count: count, labels: labels, threshold: threshold, allow: allow)
        }

        private func of(_ kind: String) -> [Float]? {
            manifest.output(kind: kind).map { values[$0] }
        }
    }
}
