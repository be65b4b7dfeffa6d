import Foundation

/// The type of a tensor's elements.
public enum ElementType: String, Codable, Sendable {
    /// A float of 32 bits.
    case float32
    /// A float of 16 bits; see ``Half``.
    case float16
    /// A signed byte.
    case int8
    /// A byte.
    case uint8

    /// Bytes of one element.
    public var bytes: Int {
        switch self {
        case .float32: return 4
        case .float16: return 2
        case .int8, .uint8: return 1
        }
    }
}

/// The order of a tensor's four dimensions.
public enum Layout: String, Codable, Sendable {
    /// A plane a channel.
    case nchw
    /// A pixel's channels beside each other.
    case nhwc
}

/// How a picture is filtered when its size changes.
public enum Interpolation: String, Codable, Sendable {
    /// The nearest pixel.
    case nearest
    /// A triangle.
    case bilinear
    /// Cubic pieces, a = -0.5.
    case bicubic
    /// A windowed sinc over three lobes.
    case lanczos
}

/// What an integer stands for: (integer - zeroPoint) * scale.
public struct Quantization: Codable, Sendable, Equatable {
    /// The step.
    public let scale: Double
    /// The integer that stands for 0.
    public let zeroPoint: Int

    enum CodingKeys: String, CodingKey {
        case scale
        case zeroPoint = "zero_point"
    }
}

/// An input or output of an artifact.
public struct TensorSpec: Codable, Sendable, Equatable {
    /// As the artifact calls it.
    public let name: String
    /// `image` for the input; `logits`, `probabilities`, `embedding` or `stage_N` for an output.
    public let kind: String
    /// Its sides, the picture's number first.
    public let shape: [Int]
    /// Of its elements.
    public let dtype: ElementType
    /// Of tensors with four dimensions.
    public let layout: Layout?
    /// Of integers that stand for floats; pixels stand for themselves.
    public let quantization: Quantization?

    /// A tensor of that form.
    public init(
        name: String, kind: String, shape: [Int], dtype: ElementType, layout: Layout?,
        quantization: Quantization? = nil
    ) {
        self.name = name
        self.kind = kind
        self.shape = shape
        self.dtype = dtype
        self.layout = layout
        self.quantization = quantization
    }

    /// Number of its elements.
    public var count: Int { shape.reduce(1, *) }
    /// Its length in bytes.
    public var bytes: Int { count * dtype.bytes }
}

/// How a decoded picture becomes the input.
public struct PreprocessSpec: Codable, Sendable, Equatable {
    /// (height, width) of the input.
    public let size: [Int]
    /// Share of the resized picture that the centre crop keeps.
    public let crop: Double
    /// The filter.
    public let interpolation: Interpolation
    /// Of red, green and blue in 0..1.
    public let mean: [Float]
    /// Of red, green and blue in 0..1.
    public let std: [Float]

    /// A preprocessing of these values.
    public init(
        size: [Int], crop: Double, interpolation: Interpolation, mean: [Float], std: [Float]
    ) {
        self.size = size
        self.crop = crop
        self.interpolation = interpolation
        self.mean = mean
        self.std = std
    }

    /// Of the input.
    public var height: Int { size[0] }
    /// Of the input.
    public var width: Int { size[1] }
}

/// One golden tensor: what a device checks itself with.
public struct GoldenSpec: Codable, Sendable, Equatable {
    /// Where a golden tensor comes from.
    public enum Source: String, Codable, Sendable {
        /// Pixels of pictures at the network's size.
        case input
        /// What the float model gave for them.
        case eager
        /// What the artifact gave for them.
        case artifact
    }

    /// Of its file, inside the bundle.
    public let path: String
    /// `pixels`, or the name of an output.
    public let tensor: String
    /// Its sides, the number of pictures first.
    public let shape: [Int]
    /// Of its elements.
    public let dtype: ElementType
    /// Where it comes from.
    public let source: Source
    /// What a device must reach, for outputs.
    public let minSqnrDb: Double?

    enum CodingKeys: String, CodingKey {
        case path, tensor, shape, dtype, source
        case minSqnrDb = "min_sqnr_db"
    }
}

/// `manifest.json` of a bundle; the generator's JSON Schema is the norm.
public struct Manifest: Codable, Sendable, Equatable {
    /// The newest schema that this version reads.
    public static let schema = 1

    /// Where the network and its weights come from.
    public struct Model: Codable, Sendable, Equatable {
        /// The variant.
        public let name: String
        /// Of the weights, where the generator knows it.
        public let licence: String?
    }

    /// The artifact's file or folder.
    public struct Artifact: Codable, Sendable, Equatable {
        /// Inside the bundle.
        public let path: String
        /// Of all its files.
        public let bytes: Int
        /// Of its bytes; of a folder, see ``Digest/sha256(of:)``.
        public let sha256: String
    }

    /// The bundle's name.
    public let id: String
    /// The network.
    public let model: Model
    /// The runtime: `coreml`, `executorch`, ...
    public let target: String
    /// Its precision.
    public let recipe: String
    /// What the runtime loads.
    public let artifact: Artifact
    let inputs: [TensorSpec]
    /// What it gives.
    public let outputs: [TensorSpec]
    /// How a picture becomes the input.
    public let preprocess: PreprocessSpec
    /// Of the classes, in their order; nil where they have no names.
    public let labels: [String]?
    /// What a device checks itself with.
    public let golden: [GoldenSpec]
    /// What a device must have: `os`, `compute_unit`.
    public let requires: [String: String]

    /// The only input.
    public var input: TensorSpec { inputs[0] }

    /// The output of a kind, and its place among the outputs.
    public func output(kind: String) -> Int? { outputs.firstIndex { $0.kind == kind } }
}

extension Manifest {
    private struct Version: Decodable {
        let schema: Int
    }

    /// Reads a manifest.
    ///
    /// - Throws: ``MNV4Error/badBundle(_:)``: it is no manifest, or one of a newer version.
    public init(json: Data) throws {
        let name = "manifest.json"
        do {
            let found = try JSONDecoder().decode(Version.self, from: json).schema
            if found > Self.schema {
                throw MNV4Error.badBundle(
                    "\(name): written by a newer version (schema \(found), this one reads "
                        + "\(Self.schema)); update the MobileNetV4Kit package")
            }
            self = try JSONDecoder().decode(Manifest.self, from: json)
        } catch let error as DecodingError {
            throw MNV4Error.badBundle("\(name): \(error.summary)")
        }
        if let wrong = mistake() { throw MNV4Error.badBundle("\(name): \(wrong)") }
    }

    /// What would end in a crash later: what the types cannot say.
    private func mistake() -> String? {
        if inputs.count != 1 { return "inputs: found \(inputs.count), must be 1" }
        if outputs.isEmpty { return "outputs: found none" }
        for tensor in inputs + outputs
        where tensor.shape.isEmpty || tensor.shape.contains(where: { $0 < 1 }) {
            return "\(tensor.name): found shape \(tensor.shape), must be 1 or more each"
        }
        let spec = preprocess
        if spec.size.count != 2 || spec.size.contains(where: { $0 < 1 }) {
            return "preprocess.size: found \(spec.size), must be a height and a width"
        }
        if !(spec.crop > 0 && spec.crop <= 1) {
            return "preprocess.crop: found \(spec.crop), must be more than 0 and at most 1"
        }
        if spec.mean.count != 3 || spec.std.count != 3 || spec.std.contains(where: { !($0 > 0) }) {
            return "preprocess: mean and std must be three numbers each, std above 0"
        }
        for path in [artifact.path] + golden.map(\.path) where !Self.inside(path) {
            return "path: found '\(path)', must stay in the bundle"
        }
        let classes = output(kind: "logits") ?? output(kind: "probabilities")
        if let labels, let classes, labels.count != outputs[classes].count {
            return
                "labels: found \(labels.count), the network has \(outputs[classes].count) classes"
        }
        return nil
    }

    private static func inside(_ path: String) -> Bool {
        !path.isEmpty && !path.hasPrefix("/") && !path.contains("\\")
            && !path.split(separator: "/").contains("..")
    }
}

extension DecodingError {
    /// The key and what is wrong with it, in a line.
    var summary: String {
        switch self {
        case .keyNotFound(let key, let context): return "\(path(context, key)): missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "\(path(context)): \(context.debugDescription)"
        case .dataCorrupted(let context):
            return "\(path(context)): \(context.debugDescription)"
        @unknown default: return "\(self)"
        }
    }

    private func path(_ context: Context, _ key: (any CodingKey)? = nil) -> String {
        let keys = (context.codingPath + (key.map { [$0] } ?? [])).map { key in
            key.intValue.map { "[\($0)]" } ?? key.stringValue
        }
        return keys.isEmpty
            ? "not JSON" : keys.joined(separator: ".").replacingOccurrences(of: ".[", with: "[")
    }
}
