extension MobileNetV4 {
    /// A feature map, whose values are in the order that ``layout`` says.
    public struct FeatureMap: Sendable, Equatable {
        /// The kind of the output: `stage_N`.
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

        /// Returns the `count` most probable classes, the most probable first.
        ///
        /// - Throws: ``Failure/unsupported(_:)`` if the bundle has no class output.
        public func top(_ count: Int) throws -> [Classification] {
            guard let probabilities else {
                let kinds = manifest.outputs.map(\.kind).joined(separator: ", ")
                throw Failure.unsupported("\(manifest.id): has no classes, only \(kinds)")
            }
            return Scores.top(probabilities, count: count, labels: manifest.labels)
        }

        private func of(_ kind: String) -> [Float]? {
            manifest.output(kind: kind).map { values[$0] }
        }
    }
}
