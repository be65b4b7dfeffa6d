// Checks a manifest's values against each other, when each of them is valid on its own.

extension MobileNetV4.Manifest {
    private static let classes: Set = ["logits", "probabilities"]

    func checkInput() throws {
        guard input.kind == "image" else {
            throw wrong("inputs[0].kind", "found '\(input.kind)', must be image")
        }
        guard let layout = input.layout else {
            throw wrong("inputs[0].layout", "found null, must be nchw or nhwc")
        }
        let sides = layout == .nchw ? [3] + preprocess.size : preprocess.size + [3]
        guard Array(input.shape.dropFirst()) == sides else {
            throw wrong(
                "inputs[0].shape",
                "found \(input.shape), must be the number of images, and \(sides) as in preprocess")
        }
    }

    /// Checks the outputs; `parity` has names of outputs by unit.
    func checkOutputs(_ parity: [String: [String]]) throws {
        var names: Set<String> = []
        for (index, output) in outputs.enumerated() {
            let place = "outputs[\(index)]"
            let axes = output.shape.count
            let isClasses = Self.classes.contains(output.kind)
            guard names.insert(output.name).inserted else {
                throw wrong("\(place).name", "found '\(output.name)' twice")
            }
            guard output.kind != "image" else {
                throw wrong("\(place).kind", "found 'image', which is for the input")
            }
            guard output.shape[0] == input.shape[0], !isClasses || axes == 2 else {
                throw wrong(
                    "\(place).shape",
                    "found \(output.shape), must be a batch of \(input.shape[0])"
                        + (isClasses ? ", and the number of classes" : ""))
            }
            guard (output.layout != nil) == (axes == 4) else {
                throw wrong(
                    "\(place).layout",
                    "must be the order of four axes, or null for another number of axes")
            }
            if let labels, isClasses, labels.count != output.shape[1] {
                throw wrong(
                    "labels",
                    "found \(labels.count), must be \(output.shape[1]), one for each class")
            }
        }
        for (unit, found) in parity {
            if let strange = found.first(where: { !names.contains($0) }) {
                throw wrong("parity.\(unit)", "found '\(strange)', which is no output")
            }
        }
    }

    /// Checks the further input sizes; `parity` has, for each, names of outputs by unit.
    func checkSizes(_ parity: [[String: [String]]]) throws {
        var found: Set = [inputSize]
        for (index, (entry, parity)) in zip(moreSizes, parity).enumerated() {
            let place = "more_sizes[\(index)]"
            guard found.insert(entry.size).inserted else {
                throw wrong("\(place).size", "found \(entry.size) twice")
            }
            let bytes =
                3 * input.dtype.bytes * input.shape[0] * entry.size.height * entry.size.width
            guard bytes <= JSON.mostInt32 else {
                throw wrong(
                    "\(place).size",
                    "found \(entry.size), an input has at most \(JSON.mostInt32) bytes")
            }
            do {
                let alone = Self(self, alone: entry)
                try alone.checkOutputs(parity)
                try alone.checkGolden()
            } catch let error as JSONError {
                throw JSONError(message: "\(place).\(error.message)")
            }
        }
    }

    /// Checks that every output has a golden tensor, for the same images.
    func checkGolden() throws {
        let pixels = golden.first { $0.source == .input && $0.tensor == "pixels" }
        let eager = Set(golden.filter { $0.source == .eager }.map(\.tensor))
        guard let images = pixels?.shape[0], outputs.allSatisfy({ eager.contains($0.name) }) else {
            throw wrong(
                "golden", "needs the pixels of the input, and an eager tensor for every output")
        }
        let shapes = Dictionary(
            uniqueKeysWithValues: outputs.map { ($0.name, Array($0.shape.dropFirst())) })
        var found: Set<[String]> = []
        for (index, entry) in golden.enumerated() {
            let place = "golden[\(index)]"
            let allowed = entry.source == .input ? ["pixels": preprocess.size + [3]] : shapes
            guard let sides = allowed[entry.tensor] else {
                throw wrong("\(place).tensor", "found '\(entry.tensor)', which is no tensor")
            }
            guard found.insert([entry.source.rawValue, entry.tensor]).inserted else {
                throw wrong("\(place).tensor", "found '\(entry.tensor)' twice")
            }
            guard entry.shape == [images] + sides, images % input.shape[0] == 0 else {
                throw wrong(
                    "\(place).shape",
                    "found \(entry.shape), must be a multiple of \(input.shape[0]) images, "
                        + "the same for all, of \(sides)")
            }
            let dtype: MobileNetV4.ElementType
            switch entry.source {
            case .input: dtype = .uint8
            case .eager: dtype = .float32
            case .artifact: dtype = entry.dtype
            }
            guard entry.dtype == dtype else {
                throw wrong("\(place).dtype", "found \(entry.dtype), must be \(dtype)")
            }
            guard entry.source != .eager || entry.minSqnrDb != nil else {
                throw wrong("\(place).min_sqnr_db", "found null, must be a number")
            }
        }
    }

    private func wrong(_ place: String, _ message: String) -> JSONError {
        JSONError(message: "\(place): \(message)")
    }
}
