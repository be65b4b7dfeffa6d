/// Resizes images of one size and orientation, turns them upright and crops their centre.
///
/// Only what the crop needs is read, in strips of upright rows. The width is filtered first: the
/// columns of a strip are weighted and added up, then its rows. Each step works on whole lines of
/// integers, with red, green and blue one after another, so that compilers use vector instructions.
/// Inner loops use pointers, `while` and operators that wrap around, because ranges, buffers and
/// generic functions are 50 times slower in a Debug build.
final class Resizer {
    /// How many rows a strip has: enough for vector instructions, few enough for a phone's caches.
    private static let depth = 128
    private static let maxPixels = MobileNetV4.PackedPixels.maxPixels

    private let spec: MobileNetV4.PreprocessSpec
    private let width: Int
    private let height: Int
    private let orientation: MobileNetV4.Orientation

    /// The filters of the upright image's width and height; a mirrored side is read backwards.
    private let across: Resampling
    private let down: Resampling

    /// The place of the first result in the upright image, and the steps to the next column and row.
    private let origin: Int
    private let columnStep: Int
    private let rowStep: Int

    /// How many rows a strip has; `pixels` holds one, and `strip` its rows at their final width.
    private let depth: Int
    private let pixels: UnsafeMutablePointer<UInt32>
    private let column: UnsafeMutablePointer<Int32>
    private let columns: Sums
    private let strip: UnsafeMutablePointer<Int32>
    private let rows: Sums

    /// Makes a resizer for images like this one.
    ///
    /// - Throws: ``Failure/badImage(_:)`` if it has no pixels, or too many.
    init(_ spec: MobileNetV4.PreprocessSpec, for image: any MobileNetV4.PixelSource) throws {
        try MobileNetV4.PackedPixels.check(width: image.width, height: image.height)
        self.spec = spec
        width = image.width
        height = image.height
        orientation = image.orientation
        let (fromWidth, fromHeight) = (image.uprightWidth, image.uprightHeight)
        let (toWidth, toHeight) = spec.resized(width: fromWidth, height: fromHeight)
        guard toWidth * toHeight <= Double(Self.maxPixels) else {
            throw MobileNetV4.Failure.badImage(
                "image: \(fromWidth) x \(fromHeight) would be resized to \(toWidth) x "
                    + "\(toHeight), at most \(Self.maxPixels) pixels are allowed")
        }
        let (left, top) = spec.cropOrigin(in: (toWidth, toHeight))
        let turned = orientation.isTransposed
        let mirrored = turned ? orientation.isFromBottom : orientation.isFromRight
        let flipped = turned ? orientation.isFromRight : orientation.isFromBottom
        across = Resampling(
            from: fromWidth, to: Int(toWidth), interpolation: spec.interpolation,
            left: left, count: spec.width, reversed: mirrored)
        down = Resampling(
            from: fromHeight, to: Int(toHeight), interpolation: spec.interpolation,
            left: top, count: spec.height, reversed: flipped)
        columnStep = mirrored ? -1 : 1
        rowStep = flipped ? -spec.width : spec.width
        origin = (mirrored ? spec.width - 1 : 0) + (flipped ? (spec.height - 1) * spec.width : 0)

        depth = min(down.length, Self.depth)
        pixels = .allocate(capacity: depth * across.length)
        column = .allocate(capacity: 3 * depth)
        columns = Sums(across, length: 3 * depth)
        strip = .allocate(capacity: depth * 3 * spec.width)
        rows = Sums(down, length: 3 * spec.width)
    }

    deinit {
        pixels.deallocate()
        column.deallocate()
        strip.deallocate()
    }

    /// Tells whether an image has this size and orientation.
    func fits(_ image: any MobileNetV4.PixelSource) -> Bool {
        image.width == width && image.height == height && image.orientation == orientation
    }

    /// Writes the RGB pixels of an image, row by row.
    func resize(_ image: any MobileNetV4.PixelSource, into: UnsafeMutablePointer<UInt8>) {
        rows.begin()
        for y in stride(from: 0, to: down.length, by: depth) {
            let count = min(depth, down.length - y)
            narrow(image, y, count)
            for k in 0..<count {
                rows.add(y + k, strip + k * 3 * spec.width) { put($1, $0, into) }
            }
        }
    }

    /// Fills `strip` with `count` rows from `y` on, at their final width.
    private func narrow(_ image: any MobileNetV4.PixelSource, _ y: Int, _ count: Int) {
        let top = down.first + y
        let turned = orientation.isTransposed
        if turned {
            image.read(
                left: top, top: across.first, width: count, height: across.length, into: pixels)
        } else {
            image.read(
                left: across.first, top: top, width: across.length, height: count, into: pixels)
        }
        columns.begin()
        for x in 0..<across.length {
            if turned { unpack(x * count, 1, count) } else { unpack(x, across.length, count) }
            columns.add(x, column) { putColumn($1, $0, count) }
        }
    }

    /// Fills `column` with every `step`-th of the pixels from `start` on.
    private func unpack(_ start: Int, _ step: Int, _ count: Int) {
        var pixel = pixels + start
        let (red, green, blue) = (column, column + depth, column + 2 * depth)
        var k = 0
        while k < count {
            let value = Int32(bitPattern: pixel[0])
            red[k] = value &>> 16 & 0xff
            green[k] = value &>> 8 & 0xff
            blue[k] = value & 0xff
            pixel += step
            k &+= 1
        }
    }

    /// Puts a finished column of the strip to its place.
    private func putColumn(_ column: UnsafePointer<Int32>, _ result: Int, _ count: Int) {
        let row = 3 * spec.width
        for c in 0..<3 {
            let values = column + c * depth
            var place = strip + (c * spec.width + result)
            var k = 0
            while k < count {
                place[0] = Resampling.rounded(values[k])
                place += row
                k &+= 1
            }
        }
    }

    /// Puts a finished row to its place in the upright image.
    private func put(
        _ row: UnsafePointer<Int32>, _ result: Int, _ into: UnsafeMutablePointer<UInt8>
    ) {
        let (width, step) = (spec.width, 3 * columnStep)
        let (green, blue) = (row + width, row + 2 * width)
        var place = into + 3 * (origin + result * rowStep)
        var x = 0
        while x < width {
            place[0] = UInt8(lowest: Resampling.rounded(row[x]))
            place[1] = UInt8(lowest: Resampling.rounded(green[x]))
            place[2] = UInt8(lowest: Resampling.rounded(blue[x]))
            place += step
            x &+= 1
        }
    }
}

/// Weights lines and adds them up, in one line of sums for each result of a side that is not complete.
private final class Sums {
    private let side: Resampling
    private let length: Int
    private let sums: UnsafeMutablePointer<Int32>
    private var begun = 0
    private var complete = 0

    init(_ side: Resampling, length: Int) {
        self.side = side
        self.length = length
        sums = .allocate(capacity: side.overlap * length)
    }

    deinit {
        sums.deallocate()
    }

    /// Begins again with the first line.
    func begin() {
        begun = 0
        complete = 0
    }

    /// Adds the next line, and passes on the sums of each result that this completes.
    func add(
        _ index: Int, _ line: UnsafePointer<Int32>,
        _ finish: (_ result: Int, _ sums: UnsafePointer<Int32>) -> Void
    ) {
        while begun < side.count && side.starts[begun] == index {
            of(begun).update(repeating: Resampling.half, count: length)
            begun += 1
        }
        for result in complete..<begun {
            add(line, side.weight(of: index, for: result), of(result))
        }
        while complete < begun && side.ends[complete] == index + 1 {
            finish(complete, of(complete))
            complete += 1
        }
    }

    private func of(_ result: Int) -> UnsafeMutablePointer<Int32> {
        sums + result % side.overlap * length
    }

    private func add(
        _ line: UnsafePointer<Int32>, _ weight: Int32, _ sum: UnsafeMutablePointer<Int32>
    ) {
        let length = length
        var x = 0
        while x < length {
            sum[x] = sum[x] &+ line[x] &* weight
            x &+= 1
        }
    }
}
