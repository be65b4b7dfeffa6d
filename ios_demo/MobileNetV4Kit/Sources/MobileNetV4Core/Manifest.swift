import Foundation

extension MobileNetV4 {
    /// The type of a tensor's elements.
    public enum ElementType: String, Decodable, Sendable, CaseIterable {
        /// A float of 32 bits.
        case float32
        /// A float of 16 bits.
        case float16
        /// A signed byte.
        case int8
        /// A byte.
        case uint8

        /// The number of bytes of one element.
        public var bytes: Int {
            switch self {
            case .float32: return 4
            case .float16: return 2
            case .int8, .uint8: return 1
            }
        }
    }

    /// The filter with which an image is resized.
    public enum Interpolation: String, Decodable, Sendable, CaseIterable {
        /// The nearest pixel.
        case nearest
        /// A triangle filter.
        case bilinear
        /// A cubic filter with a = -0.5.
        case bicubic
        /// A windowed sinc with three lobes.
        case lanczos
    }

    /// How integers stand for floats: (integer - zeroPoint) * scale.
    public struct Quantization: Decodable, Sendable, Equatable {
        /// The step between two neighbouring integers.
        public let scale: Double
        /// The integer that stands for 0.
        public let zeroPoint: Int

        enum CodingKeys: String, CodingKey {
            case scale
            case zeroPoint = "zero_point"
        }
    }

    /// An input or output of an artifact.
    public struct TensorSpec: Sendable, Equatable {
        /// The name by which the artifact knows the tensor.
        public let name: String
        /// `image` for the input; `logits`, `probabilities`, `embedding`, `stage_N`, or the name that a
        /// head of one's own gives to an output.
        public let kind: String
        /// The length of each dimension; the first one counts images.
        public let shape: [Int]
        /// The type of the elements.
        public let dtype: ElementType
        /// The order of the axes of a tensor with four dimensions, else nil.
        public let layout: Layout?
        /// How integers stand for floats; an input of uint8 without it takes RGB bytes.
        public let quantization: Quantization?

        /// Makes the description of a tensor.
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

        /// The number of elements.
        public var count: Int { shape.reduce(1, *) }
        /// The length in bytes.
        public var bytes: Int { count * dtype.bytes }
    }
}

extension MobileNetV4.TensorSpec {
    /// The order of a tensor's four dimensions.
    public enum Layout: String, Decodable, Sendable, CaseIterable {
        /// One plane per channel.
        case nchw
        /// The channels of each pixel next to each other.
        case nhwc
    }
}

extension MobileNetV4 {
    /// How a decoded image becomes the input.
    public struct PreprocessSpec: Sendable, Equatable {
        /// The (height, width) of the input.
        public let size: [Int]
        /// The share of the resized image that the centre crop keeps.
        public let crop: Double
        /// The filter of the resizing.
        public let interpolation: Interpolation
        /// The mean of red, green and blue, from 0 to 1.
        public let mean: [Float]
        /// The standard deviation of red, green and blue, from 0 to 1.
        public let std: [Float]

        /// Makes a preprocessing from its values.
        public init(
            size: [Int], crop: Double, interpolation: Interpolation, mean: [Float], std: [Float]
        ) {
            self.size = size
            self.crop = crop
            self.interpolation = interpolation
            self.mean = mean
            self.std = std
        }

        /// The height of the input.
        public var height: Int { size[0] }
        /// The width of the input.
        public var width: Int { size[1] }
    }

    /// A golden tensor, with which a device checks itself.
    public struct GoldenSpec: Sendable, Equatable {
        /// Where a golden tensor comes from.
        public enum Source: String, Sendable, CaseIterable {
            /// Pixels of images at the network's size.
            case input
            /// The float model's output for them.
            case eager
            /// The artifact's output for them.
            case artifact
        }

        /// The path of the file in the bundle.
        public let path: String
        /// `pixels`, or the name of an output.
        public let tensor: String
        /// The length of each dimension; the first one counts images.
        public let shape: [Int]
        /// The type of the elements.
        public let dtype: ElementType
        /// The SHA-256 of the file, in hexadecimal.
        public let sha256: String
        /// Where the tensor comes from.
        public let source: Source
        /// The least SQNR in dB that a device must reach; nil for inputs.
        public let minSqnrDb: Double?
    }

    /// An input size in pixels.
    public struct InputSize: Sendable, Hashable, CustomStringConvertible {
        /// The height of the input.
        public let height: Int
        /// The width of the input.
        public let width: Int

        /// Makes a size from its sides.
        public init(height: Int, width: Int) {
            self.height = height
            self.width = width
        }

        /// The size as `mnv4 build` takes it: `64x128` is 64 high and 128 wide.
        public var description: String { "\(height)x\(width)" }

        fileprivate var sides: [Int] { [height, width] }
    }

    /// The `manifest.json` of a bundle; the generator's `docs/reference/bundle.md` specifies it.
    ///
    /// If the bundle takes several input sizes, it describes the one that was chosen when the bundle was
    /// opened.
    public struct Manifest: Sendable, Equatable {
        /// The newest schema that this version reads.
        public static let schema = 1

        /// Where the network and its weights come from.
        public struct Model: Sendable, Equatable {
            /// The name of the network, as in `conv-small`.
            public let name: String
            /// The licence of the weights; nil if the generator does not know it.
            public let licence: String?
        }

        /// The artifact's file or folder.
        public struct Artifact: Sendable, Equatable {
            /// The path in the bundle.
            public let path: String
            /// The size of all its files in bytes.
            public let bytes: Int
            /// The SHA-256 of its bytes; for a folder, of one line `<sha256>  <path>` for each file.
            public let sha256: String
        }

        /// The bundle's name.
        public let id: String
        /// The network.
        public let model: Model
        /// The runtime, as in `coreml` or `executorch`.
        public let target: String
        /// The name of the precision, as in `fp16`.
        public let recipe: String
        /// The file or folder that the runtime loads.
        public let artifact: Artifact
        /// The artifact's input.
        public let input: TensorSpec
        /// The artifact's outputs, in its order.
        public let outputs: [TensorSpec]
        /// How an image becomes the input.
        public let preprocess: PreprocessSpec
        /// The names of the classes, in their order; nil if they have none.
        public let labels: [String]?
        /// The golden tensors.
        public let golden: [GoldenSpec]
        /// The requirements on a device, by `<target>.<key>`: `coreml.min_ios`, `coreml.compute_unit`.
        public let requires: [String: String]
        /// The input sizes that the artifact takes, the default first.
        public let inputSizes: [InputSize]
        /// What differs at the further input sizes; empty if one of them was chosen.
        let moreSizes: [SizeSpec]

        /// A further input size that an artifact takes.
        struct SizeSpec: Sendable, Equatable {
            /// The size.
            let size: InputSize
            /// Images of this size, and the outputs that they must give.
            let golden: [GoldenSpec]
        }

        /// The input size that everything else in the manifest is for.
        public var inputSize: InputSize {
            InputSize(height: preprocess.height, width: preprocess.width)
        }

        /// Returns the index of the output of a kind; nil if there is none.
        public func output(kind: String) -> Int? { outputs.firstIndex { $0.kind == kind } }
    }
}

extension MobileNetV4.Manifest {
    /// Reads a manifest.
    ///
    /// - Throws: ``Failure/badBundle(_:)`` if it is not a manifest, or one of a newer version.
    public init(json: Data) throws {
        do {
            self = try JSON(json).record(MobileNetV4.Manifest.init)
        } catch let error as JSONError {
            throw MobileNetV4.Failure.badBundle("manifest.json: \(error.message)")
        }
    }

    private init(_ entries: JSONEntries) throws {
        try entries.schema(Self.schema)
        id = try entries["id"].bundleID()
        try entries["ingredients"].map().values.forEach { _ = try $0.sha256() }
        model = try entries["model"].record(Model.init)
        target = try entries["target"].text()
        recipe = try entries["recipe"].text()
        try entries["options"].map().values.forEach { try $0.option() }
        artifact = try entries["artifact"].record(Artifact.init)
        let preprocess = try entries["preprocess"].record(MobileNetV4.PreprocessSpec.init)
        self.preprocess = preprocess
        input = try entries["inputs"].list(1...1)[0].record(MobileNetV4.TensorSpec.init)
        outputs = try entries["outputs"].list(1...Int.max).map {
            try $0.record(MobileNetV4.TensorSpec.init)
        }
        labels = try entries["labels"].orNil { try $0.list().map { try $0.label() } }
        golden = try entries["golden"].list(2...Int.max).map {
            try $0.record(MobileNetV4.GoldenSpec.init)
        }
        requires = try entries["requires"].requirements()
        try entries["versions"].map().values.forEach { _ = try $0.text() }
        try entries["layers"].list().forEach { try $0.record(Self.checkLayer) }
        let parity = try entries["parity"].checkedParity()
        let sized = try (entries.optional("more_sizes")?.list() ?? []).map {
            try $0.record { entries in
                (
                    try SizeSpec(entries),
                    parity: try entries["parity"].checkedParity()
                )
            }
        }
        moreSizes = sized.map(\.0)
        inputSizes =
            [.init(height: preprocess.height, width: preprocess.width)] + moreSizes.map(\.size)
        _ = try entries.optional("calibration")?.orNil { try $0.record(Self.checkCalibration) }
        _ = try entries.optional("float16_range")?.orNil { try $0.record(Self.checkFloat16Range) }
        _ = try entries.optional("tuning")?.orNil { try $0.record(Self.checkTuning) }
        try checkInput()
        try checkOutputs(parity)
        try checkGolden()
        try checkSizes(sized.map(\.parity))
    }

    /// Returns the manifest of the same artifact at one of its input sizes.
    ///
    /// - Parameter size: The size; nil for the default.
    /// - Throws: ``Failure/unsupported(_:)``, which names the allowed sizes, if it is none of them.
    func at(inputSize size: MobileNetV4.InputSize?) throws -> Self {
        guard let size, size != inputSizes[0] else { return self }
        guard let found = moreSizes.first(where: { $0.size == size }) else {
            throw MobileNetV4.Failure.unsupported(
                "\(id): input size: found \(size), allowed: "
                    + inputSizes.map(\.description).joined(separator: ", "))
        }
        return Self(self, alone: found)
    }

    /// Makes the manifest of the same artifact with one of its further input sizes alone.
    init(_ manifest: Self, alone size: SizeSpec) {
        id = manifest.id
        model = manifest.model
        target = manifest.target
        recipe = manifest.recipe
        artifact = manifest.artifact
        input = manifest.input.with(sides: size.size.sides)
        outputs = manifest.outputs.map { output in
            let eager = size.golden.first { $0.source == .eager && $0.tensor == output.name }
            guard let layout = output.layout, let shape = eager?.shape, shape.count == 4 else {
                return output
            }
            return output.with(sides: Array(layout == .nchw ? shape[2...] : shape[1...2]))
        }
        let before = manifest.preprocess
        preprocess = .init(
            size: size.size.sides, crop: before.crop, interpolation: before.interpolation,
            mean: before.mean, std: before.std)
        labels = manifest.labels
        golden = size.golden
        requires = manifest.requires
        inputSizes = manifest.inputSizes
        moreSizes = []
    }

    private static func checkLayer(_ entries: JSONEntries) throws {
        for key in ["name", "block", "precision"] { _ = try entries[key].text() }
        _ = try entries["kind"].oneOf(LayerKind.self)
        _ = try entries["why"].orNil { try $0.text() }
    }

    private static func checkFloat16Range(_ entries: JSONEntries) throws {
        _ = try entries["images"].integer()
        _ = try entries["margin"].positive()
        _ = try entries["layer"].text()
    }

    private static func checkTuning(_ entries: JSONEntries) throws {
        _ = try entries["objective"].oneOf(Objective.self)
        _ = try entries["max_drop"].notNegative()
        _ = try entries["min_p10"].decibels()
        _ = try entries["max_latency"].positive()
        _ = try entries["images"].integer()
        for tried in try entries["tried"].list(1...Int.max) {
            try tried.record { entries in
                _ = try entries["recipe"].text()
                _ = try entries["drop"].notNegative()
                _ = try entries["sqnr_db_p10"].decibels()
                _ = try entries["latency"].orNil { try $0.positive() }
                _ = try entries["bytes"].integer(1...JSON.mostExact)
            }
        }
    }

    private static func checkCalibration(_ entries: JSONEntries) throws {
        _ = try entries["images"].integer()
        for key in ["held_out", "skipped"] {
            _ = try entries[key].integer(0...JSON.mostInt32)
        }
        _ = try entries["seed"].integer(-JSON.mostExact...JSON.mostExact)
        _ = try entries["dataset_sha256"].orNil { try $0.sha256() }
        _ = try entries["range"].orNil { try $0.text() }
        _ = try entries["agreement"].orNil { agreement in
            try agreement.record { entries in
                for key in ["top1", "gate"] { _ = try entries[key].number(0...1) }
                _ = try entries["n"].integer()
            }
        }
    }
}

private enum LayerKind: String, CaseIterable {
    case convolution, other
}

private enum Objective: String, CaseIterable {
    case size, latency
}

extension MobileNetV4.Manifest.Model {
    fileprivate init(_ entries: JSONEntries) throws {
        name = try entries["name"].text()
        licence = try entries["licence"].orNil { try $0.text() }
        _ = try entries["weights"].text()
        for key in ["config_sha256", "weights_sha256"] { _ = try entries[key].sha256() }
    }
}

extension MobileNetV4.Manifest.Artifact {
    fileprivate init(_ entries: JSONEntries) throws {
        path = try entries["path"].path()
        bytes = try entries["bytes"].integer(1...JSON.mostExact)
        sha256 = try entries["sha256"].sha256()
    }
}

extension MobileNetV4.TensorSpec {
    fileprivate init(_ entries: JSONEntries) throws {
        let dtype = try entries["dtype"].oneOf(MobileNetV4.ElementType.self)
        let quantization = try entries.optional("quantization")?.orNil {
            try $0.record(MobileNetV4.Quantization.init)
        }
        if quantization != nil, dtype == .float32 || dtype == .float16 {
            throw entries.wrong("quantization", "found with \(dtype), must be with integers only")
        }
        self.init(
            name: try entries["name"].text(), kind: try entries["kind"].kind(),
            shape: try entries.shape(dtype), dtype: dtype,
            layout: try entries["layout"].orNil { try $0.oneOf(Layout.self) },
            quantization: quantization)
    }
}

extension MobileNetV4.Quantization {
    fileprivate init(_ entries: JSONEntries) throws {
        scale = try entries["scale"].positive()
        zeroPoint = try entries["zero_point"].integer(-128...255)
    }
}

/// A key of preprocessing whose value may be assumed.
private enum Assumable: String, CaseIterable {
    case mean, std, crop, interpolation
}

extension MobileNetV4.PreprocessSpec {
    private static let largest = Double(Float.greatestFiniteMagnitude)

    fileprivate init(_ entries: JSONEntries) throws {
        size = try entries["size"].list(2...2).map { try $0.integer(1...16384) }
        crop = try entries["crop"].number(0.01...1)
        interpolation = try entries["interpolation"].oneOf(MobileNetV4.Interpolation.self)
        mean = try entries["mean"].list(3...3).map {
            Float(try $0.number(-Self.largest...Self.largest))
        }
        std = try entries["std"].list(3...3).map { Float(try $0.positive()) }
        _ = try entries["inside"].flag()
        _ = try entries["assumed"].list().map { try $0.oneOf(Assumable.self) }
    }
}

extension MobileNetV4.TensorSpec {
    /// Returns the tensor, which has four axes, with other sides.
    fileprivate func with(sides: [Int]) -> Self {
        let shape =
            layout == .nchw ? Array(shape[...1]) + sides : [shape[0]] + sides + [shape[3]]
        return Self(
            name: name, kind: kind, shape: shape, dtype: dtype, layout: layout,
            quantization: quantization)
    }
}

extension MobileNetV4.Manifest.SizeSpec {
    fileprivate init(_ entries: JSONEntries) throws {
        let sides = try entries["size"].list(2...2).map { try $0.integer(1...16384) }
        size = .init(height: sides[0], width: sides[1])
        golden = try entries["golden"].list(2...Int.max).map {
            try $0.record(MobileNetV4.GoldenSpec.init)
        }
    }
}

extension MobileNetV4.GoldenSpec {
    fileprivate init(_ entries: JSONEntries) throws {
        path = try entries["path"].path()
        tensor = try entries["tensor"].text()
        dtype = try entries["dtype"].oneOf(MobileNetV4.ElementType.self)
        shape = try entries.shape(dtype)
        sha256 = try entries["sha256"].sha256()
        source = try entries["source"].oneOf(Source.self)
        minSqnrDb = try entries["min_sqnr_db"].orNil { try $0.decibels() }
    }
}

extension JSONEntries {
    /// Returns the shape of a tensor of at most 2^31 - 1 bytes.
    fileprivate func shape(_ dtype: MobileNetV4.ElementType) throws -> [Int] {
        let sides = try self["shape"].list(1...Int.max).map { try $0.integer() }
        var bytes = dtype.bytes
        for side in sides {
            bytes *= side
            guard bytes <= JSON.mostInt32 else {
                throw wrong(
                    "shape", "found \(sides), a tensor has at most \(JSON.mostInt32) bytes")
            }
        }
        return sides
    }
}

extension JSON {
    /// Returns a bundle's id, which is also the name of its folder.
    func bundleID() throws -> String {
        try text("letters, digits, '.', '_' and '-', a letter or digit first") {
            $0[0].isLetterOrDigit && $0.isName(with: "._-")
        }
    }

    /// Returns a number that stays positive and finite as a float of 32 bits.
    fileprivate func positive() throws -> Double {
        try number(Double(Float.leastNormalMagnitude)...Double(Float.greatestFiniteMagnitude))
    }

    /// Returns a number that a float of 32 bits can hold, 0 or more.
    fileprivate func notNegative() throws -> Double {
        try number(0...Double(Float.greatestFiniteMagnitude))
    }

    fileprivate func sha256() throws -> String {
        try text("64 hexadecimal digits") { $0.count == 64 && $0.allSatisfy(\.isHexadecimal) }
    }

    fileprivate func path() throws -> String {
        try text("a path that stays in the bundle") {
            $0.parts("/").allSatisfy { $0.isName(with: "._-") && $0.prefix(1).isName(with: "_") }
        }
    }

    fileprivate func option() throws {
        switch value {
        case .string, .bool: return
        case .number: _ = try integer(-JSON.mostExact...JSON.mostExact)
        default: throw wrong("a string, an integer or a boolean")
        }
    }

    fileprivate func requirements() throws -> [String: String] {
        var found: [String: String] = [:]
        for (key, value) in try map() {
            let name = JSON(value: .string(key), place: place)
            _ = try name.text("of the form TARGET.KEY") {
                let parts = $0.parts(".")
                return parts.count == 2 && parts.allSatisfy { $0.isName(with: "_-") }
            }
            found[key] = try value.text()
        }
        return found
    }

    fileprivate func decibels() throws -> Double { try number(-200...200) }

    fileprivate func kind() throws -> String {
        try text("lower-case letters, digits and '_', a letter first") { text in
            text.first?.isLowercase == true
                && text.allSatisfy { $0.isLowercase || $0.isDigit || $0 == UInt8(ascii: "_") }
        }
    }

    /// Returns the name of a class, which is one line of text.
    fileprivate func label() throws -> String {
        let found = try text()
        let broken = found.unicodeScalars.contains {
            $0.properties.generalCategory == .control || [0x2028, 0x2029].contains($0.value)
        }
        if found.isEmpty || broken { throw wrong("one line of text without control characters") }
        return found
    }

    /// Returns the names of the outputs by unit.
    fileprivate func checkedParity() throws -> [String: [String]] {
        for (unit, outputs) in try map() {
            _ = try JSON(value: .string(unit), place: place).oneOf(MobileNetV4.Plan.Unit.self)
            for output in try outputs.map().values {
                try output.record { entries in
                    for key in ["sqnr_db", "sqnr_db_p10", "gate_db"] {
                        _ = try entries[key].decibels()
                    }
                    _ = try entries["max_abs"].notNegative()
                    _ = try entries["top1_agreement"].orNil { try $0.number(0...1) }
                    _ = try entries["n"].integer()
                }
            }
        }
        return try map().mapValues { Array(try $0.map().keys) }
    }
}
