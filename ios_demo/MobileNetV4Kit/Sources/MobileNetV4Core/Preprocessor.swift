import Foundation

/// Turns images into a network's input: resizes, crops, normalises and orders the values.
///
/// It keeps its buffers and, for images of the same size, its weights. Call it one call at a time.
public final class Preprocessor {
    /// Pillow's limit against decompression bombs.
    private static let maxPixels = 178_956_970

    private let spec: PreprocessSpec
    private let input: TensorSpec
    /// The element for each byte of each channel; nil if bytes stay bytes.
    private let elements: [[UInt32]]?

    private var source = (width: 0, height: 0)
    private var across = Resampling(from: 1, to: 1, interpolation: .nearest)
    private var down = Resampling(from: 1, to: 1, interpolation: .nearest)
    private var left = 0
    private var top = 0
    private var line: [UInt32] = []
    private var narrowed: [UInt8] = []
    private var pixels: [UInt8]
    private var bytes: [UInt8]

    /// Makes a preprocessor for one bundle.
    ///
    /// - Throws: ``MNV4Error/badBundle(_:)`` if this version does not support the input.
    public init(spec: PreprocessSpec, input: TensorSpec) throws {
        let planar = [1, 3, spec.height, spec.width]
        let interleaved = [1, spec.height, spec.width, 3]
        let wanted = input.layout == .nchw ? planar : interleaved
        guard input.layout != nil, input.shape == wanted else {
            throw MNV4Error.badBundle(
                "manifest.json: inputs: found shape \(input.shape), allowed: \(planar) as nchw, "
                    + "\(interleaved) as nhwc; one picture at a time")
        }
        self.spec = spec
        self.input = input
        elements = Self.elements(spec, input)
        pixels = Array(repeating: 0, count: spec.height * spec.width * 3)
        bytes = Array(repeating: 0, count: input.bytes)
    }

    /// Calls `use` with the input for an image, laid out for the artifact, and returns its result.
    ///
    /// - Throws: ``MNV4Error/badPicture(_:)`` if it has no pixels, or too many.
    public func prepare<T>(
        _ picture: any PixelSource, _ use: (UnsafeRawBufferPointer) throws -> T
    ) throws -> T {
        try feed(resized(picture), use)
    }

    /// Calls `use` with the input for RGB pixels, row by row, that have the network's size.
    ///
    /// - Throws: ``MNV4Error/badPicture(_:)`` if the number of bytes is wrong.
    public func feed<T>(
        _ pixels: [UInt8], _ use: (UnsafeRawBufferPointer) throws -> T
    ) throws -> T {
        guard pixels.count == self.pixels.count else {
            throw MNV4Error.badPicture(
                "pixels: found \(pixels.count) bytes, must be \(self.pixels.count)")
        }
        bytes.withUnsafeMutableBytes { into in
            guard let elements else { return order(pixels, as: UInt8.self, into) { _, x in x } }
            switch input.dtype.bytes {
            case 4: order(pixels, as: UInt32.self, into) { c, x in elements[c][Int(x)] }
            case 2:
                order(pixels, as: UInt16.self, into) { c, x in
                    UInt16(truncatingIfNeeded: elements[c][Int(x)])
                }
            default:
                order(pixels, as: UInt8.self, into) { c, x in
                    UInt8(truncatingIfNeeded: elements[c][Int(x)])
                }
            }
        }
        return try bytes.withUnsafeBytes(use)
    }

    private func order<Element>(
        _ pixels: [UInt8], as type: Element.Type, _ into: UnsafeMutableRawBufferPointer,
        _ element: (Int, UInt8) -> Element
    ) {
        let into = into.bindMemory(to: type)
        let area = spec.height * spec.width
        let planar = input.layout == .nchw
        for c in 0..<3 {
            for i in 0..<area {
                into[planar ? c * area + i : 3 * i + c] = element(c, pixels[3 * i + c])
            }
        }
    }

    /// Returns the bits of the element, a float or an integer, for each byte of each channel.
    private static func elements(_ spec: PreprocessSpec, _ input: TensorSpec) -> [[UInt32]]? {
        if input.dtype == .uint8 && input.quantization == nil { return nil }
        return (0..<3).map { c in
            (0..<256).map { byte in
                let value = (Float(byte) / 255 - spec.mean[c]) / spec.std[c]
                switch input.dtype {
                case .float32: return value.bitPattern
                case .float16: return UInt32(Half(value).bits)
                case .int8, .uint8:
                    return UInt32(truncatingIfNeeded: integer(value, input))
                }
            }
        }
    }

    private static func integer(_ value: Float, _ input: TensorSpec) -> Int {
        let grid = input.quantization ?? Quantization(scale: 1, zeroPoint: 0)
        let step = (value / Float(grid.scale)).rounded(.toNearestOrEven)
        let limits = input.dtype == .int8 ? -128...127 : 0...255
        return min(max(Int(step) + grid.zeroPoint, limits.lowerBound), limits.upperBound)
    }

    /// Returns the image's RGB pixels at the network's size, row by row.
    ///
    /// - Throws: ``MNV4Error/badPicture(_:)`` if it has no pixels, or too many.
    public func resized(_ picture: any PixelSource) throws -> [UInt8] {
        try plan(picture.width, picture.height)
        let rows = top..<top + spec.height
        let first = down.starts[top]
        let end = rows.map { down.starts[$0] + down.counts[$0] }.max() ?? first
        narrow(picture, first, end)
        shorten(first)
        return pixels
    }

    private func plan(_ width: Int, _ height: Int) throws {
        if source == (width, height) { return }
        try PackedPixels.check(width: width, height: height)
        let (toWidth, toHeight) = resizedSize(Double(width), Double(height))
        guard toWidth * toHeight <= Double(Self.maxPixels) else {
            throw MNV4Error.badPicture(
                "picture: \(width) x \(height) would be resized to \(toWidth) x \(toHeight), at "
                    + "most \(Self.maxPixels) pixels are allowed")
        }
        let interpolation = spec.interpolation
        across = Resampling(from: width, to: Int(toWidth), interpolation: interpolation)
        down = Resampling(from: height, to: Int(toHeight), interpolation: interpolation)
        left = Int(((toWidth - Double(spec.width)) / 2).rounded(.toNearestOrEven))
        top = Int(((toHeight - Double(spec.height)) / 2).rounded(.toNearestOrEven))
        source = (width, height)
    }

    /// Returns whole numbers as doubles, which hold products of sides that integers might not.
    private func resizedSize(_ width: Double, _ height: Double) -> (Double, Double) {
        let toWidth = (Double(spec.width) / spec.crop).rounded(.down)
        let toHeight = (Double(spec.height) / spec.crop).rounded(.down)
        if toWidth == toHeight {
            let shorter = min(width, height)
            return (
                (toHeight * width / shorter).rounded(.down),
                (toHeight * height / shorter).rounded(.down)
            )
        }
        let ratio = min(height / toHeight, width / toWidth)
        return (
            (width / ratio).rounded(.toNearestOrEven), (height / ratio).rounded(.toNearestOrEven)
        )
    }

    /// Filters the rows that are needed to the columns that the crop keeps.
    private func narrow(_ picture: any PixelSource, _ first: Int, _ end: Int) {
        let row = spec.width * 3
        if line.count < picture.width { line = Array(repeating: 0, count: picture.width) }
        if narrowed.count < (end - first) * row {
            narrowed = Array(repeating: 0, count: (end - first) * row)
        }
        for y in first..<end {
            picture.readRow(y, into: &line)
            var out = (y - first) * row
            for x in left..<left + spec.width {
                var (r, g, b) = (Resampling.half, Resampling.half, Resampling.half)
                let (start, weights) = (across.starts[x], x * across.stride)
                for k in 0..<across.counts[x] {
                    let pixel = line[start + k]
                    let weight = across.weights[weights + k]
                    r &+= Int32(pixel >> 16 & 0xff) &* weight
                    g &+= Int32(pixel >> 8 & 0xff) &* weight
                    b &+= Int32(pixel & 0xff) &* weight
                }
                narrowed[out] = clip(r)
                narrowed[out + 1] = clip(g)
                narrowed[out + 2] = clip(b)
                out += 3
            }
        }
    }

    /// Filters the columns of `narrowed`, whose first row is row `first` of the image.
    private func shorten(_ first: Int) {
        let row = spec.width * 3
        for y in 0..<spec.height {
            let start = down.starts[top + y] - first
            let weights = (top + y) * down.stride
            for x in 0..<row {
                var sum = Resampling.half
                for k in 0..<down.counts[top + y] {
                    sum += Int32(narrowed[(start + k) * row + x]) * down.weights[weights + k]
                }
                pixels[y * row + x] = clip(sum)
            }
        }
    }

    private func clip(_ sum: Int32) -> UInt8 {
        UInt8(max(0, min(sum >> Resampling.shift, 255)))
    }
}
