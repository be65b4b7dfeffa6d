import Foundation

extension MobileNetV4 {
    /// Turns images into a network's input: resizes, crops, normalises and orders the values.
    ///
    /// It keeps its buffers and, for images of the same size, its weights. Call it one call at a time.
    public final class Preprocessor {
        private let spec: PreprocessSpec
        private let input: TensorSpec
        /// The elements for the bytes of red, those of green and those of blue.
        private let elements: [UInt8]

        private var resizer: Resizer?
        private var pixels: [UInt8]
        private var bytes: [UInt8]

        /// Makes a preprocessor for one bundle.
        ///
        /// - Throws: ``Failure/badBundle(_:)`` if this version does not support the input.
        public init(spec: PreprocessSpec, input: TensorSpec) throws {
            let planar = [1, 3, spec.height, spec.width]
            let interleaved = [1, spec.height, spec.width, 3]
            let wanted = input.layout == .nchw ? planar : interleaved
            guard input.layout != nil, input.shape == wanted else {
                throw Failure.badBundle(
                    "manifest.json: inputs: found shape \(input.shape), allowed: \(planar) as nchw, "
                        + "\(interleaved) as nhwc; one image at a time")
            }
            self.spec = spec
            self.input = input
            elements = Self.elements(spec, input)
            pixels = Array(repeating: 0, count: spec.height * spec.width * 3)
            bytes = Array(repeating: 0, count: input.bytes)
        }

        /// Calls `use` with the input for an image, laid out for the artifact, and returns its result.
        ///
        /// - Throws: ``Failure/badImage(_:)`` if it has no pixels, or too many.
        public func prepare<T>(
            _ image: any PixelSource, _ use: (UnsafeRawBufferPointer) throws -> T
        ) throws -> T {
            try feed(resized(image), use)
        }

        /// Calls `use` with the input for RGB pixels, row by row, that have the network's size.
        ///
        /// - Throws: ``Failure/badImage(_:)`` if the number of bytes is wrong.
        public func feed<T>(
            _ pixels: [UInt8], _ use: (UnsafeRawBufferPointer) throws -> T
        ) throws -> T {
            guard pixels.count == self.pixels.count else {
                throw Failure.badImage(
                    "pixels: found \(pixels.count) bytes, must be \(self.pixels.count)")
            }
            bytes.withUnsafeMutableBytes { into in
                elements.withUnsafeBytes { elements in
                    switch input.dtype.bytes {
                    case 4: order(pixels, elements.bindMemory(to: UInt32.self), into)
                    case 2: order(pixels, elements.bindMemory(to: UInt16.self), into)
                    default: order(pixels, elements.bindMemory(to: UInt8.self), into)
                    }
                }
            }
            return try bytes.withUnsafeBytes(use)
        }

        private func order<Element>(
            _ pixels: UnsafePointer<UInt8>, _ elements: UnsafeBufferPointer<Element>,
            _ into: UnsafeMutableRawBufferPointer
        ) {
            guard let elements = elements.baseAddress,
                let into = into.bindMemory(to: Element.self).baseAddress
            else { return }
            let area = spec.height * spec.width
            let planar = input.layout == .nchw
            for c in 0..<3 {
                let table = elements + 256 * c
                var pixel = pixels + c
                var place = into + (planar ? c * area : c)
                let step = planar ? 1 : 3
                let end = pixel + 3 * area
                while pixel < end {
                    place[0] = table[Int(byte: pixel[0])]
                    place += step
                    pixel += 3
                }
            }
        }

        /// Returns the bits of the element, a float or an integer, for each byte of each channel.
        private static func elements(_ spec: PreprocessSpec, _ input: TensorSpec) -> [UInt8] {
            let bits: [UInt32] = (0..<3).flatMap { c in
                (UInt8.min...UInt8.max).map { byte in
                    if input.dtype == .uint8 && input.quantization == nil { return UInt32(byte) }
                    let value = (Float(byte) / 255 - spec.mean[c]) / spec.std[c]
                    switch input.dtype {
                    case .float32: return value.bitPattern
                    case .float16: return UInt32(Half(value).bits)
                    case .int8, .uint8:
                        return UInt32(truncatingIfNeeded: integer(value, input))
                    }
                }
            }
            return bits.flatMap { bits in
                withUnsafeBytes(of: bits.littleEndian) { Array($0.prefix(input.dtype.bytes)) }
            }
        }

        private static func integer(_ value: Float, _ input: TensorSpec) -> Int {
            let grid = input.quantization ?? Quantization(scale: 1, zeroPoint: 0)
            let step = (value / Float(grid.scale)).rounded(.toNearestOrEven)
            let limits = input.dtype == .int8 ? -128...127 : 0...255
            // Strange means and scales give steps that no Int holds.
            let near = Int(min(max(step, -1024), 1024))
            return min(max(near + grid.zeroPoint, limits.lowerBound), limits.upperBound)
        }

        /// Returns an image's RGB pixels as a preprocessor does, without keeping any buffers.
        static func resized(_ image: any PixelSource, _ spec: PreprocessSpec) throws -> [UInt8] {
            let resizer = try Resizer(spec, for: image)
            let count = spec.height * spec.width * 3
            return [UInt8](unsafeUninitializedCapacity: count) { pixels, written in
                guard let into = pixels.baseAddress else { return }
                resizer.resize(image, into: into)
                written = count
            }
        }

        /// Returns the image's RGB pixels, upright, at the network's size, row by row.
        ///
        /// - Throws: ``Failure/badImage(_:)`` if it has no pixels, or too many.
        public func resized(_ image: any PixelSource) throws -> [UInt8] {
            let fitting = resizer.flatMap { $0.fits(image) ? $0 : nil }
            let resizer = try fitting ?? Resizer(spec, for: image)
            self.resizer = resizer
            pixels.withUnsafeMutableBufferPointer { pixels in
                if let into = pixels.baseAddress { resizer.resize(image, into: into) }
            }
            return pixels
        }
    }
}
