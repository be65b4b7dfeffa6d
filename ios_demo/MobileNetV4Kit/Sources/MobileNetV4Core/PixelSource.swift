/// A decoded image that is read line by line, so that a camera frame needs no intermediate image.
///
/// Pixels are packed as `0x??RRGGBB`; the upper byte is ignored.
public protocol PixelSource: Sendable {
    /// The width in pixels.
    var width: Int { get }
    /// The height in pixels.
    var height: Int { get }

    /// Writes row `y`, from left to right, into the first `width` elements of `line`.
    func readRow(_ y: Int, into line: inout [UInt32])

    /// Writes column `x`, from top to bottom, into the first `height` elements of `line`.
    func readColumn(_ x: Int, into line: inout [UInt32])
}

/// How a stored image must be turned to be upright: EXIF's orientation, or a camera's rotation.
public enum Orientation: Int, Sendable, CaseIterable {
    /// The image is upright as it is stored.
    case upright = 1
    /// Left and right are swapped.
    case mirrored = 2
    /// The image is turned by 180 degrees.
    case turned180 = 3
    /// Top and bottom are swapped.
    case mirrored180 = 4
    /// Rows and columns are swapped.
    case transposed = 5
    /// The image is turned clockwise by 90 degrees.
    case turned90 = 6
    /// Rows and columns are swapped, and the image is turned by 180 degrees.
    case transversed = 7
    /// The image is turned clockwise by 270 degrees.
    case turned270 = 8

    /// Makes the orientation with an EXIF number; upright for a number that EXIF does not have.
    public init(exif number: Int) {
        self = Orientation(rawValue: number) ?? .upright
    }

    /// Makes the orientation for a camera's clockwise rotation.
    ///
    /// - Throws: ``MNV4Error/badPicture(_:)`` if it is not a multiple of 90.
    public init(degrees: Int) throws {
        switch ((degrees % 360) + 360) % 360 {
        case 0: self = .upright
        case 90: self = .turned90
        case 180: self = .turned180
        case 270: self = .turned270
        default:
            throw MNV4Error.badPicture(
                "rotation: found \(degrees) degrees, allowed: multiples of 90")
        }
    }

    var isTransposed: Bool { rawValue >= 5 }
    var isFromRight: Bool { [.mirrored, .turned180, .transversed, .turned270].contains(self) }
    var isFromBottom: Bool { [.turned180, .mirrored180, .turned90, .transversed].contains(self) }
}

/// An image, turned upright.
public struct TurnedPixels: PixelSource {
    private let source: any PixelSource
    private let orientation: Orientation

    /// Turns an image that is stored in this orientation.
    public init(_ source: any PixelSource, orientation: Orientation) {
        self.source = source
        self.orientation = orientation
    }

    /// The width in pixels when upright.
    public var width: Int { orientation.isTransposed ? source.height : source.width }
    /// The height in pixels when upright.
    public var height: Int { orientation.isTransposed ? source.width : source.height }

    /// See ``PixelSource/readRow(_:into:)``.
    public func readRow(_ y: Int, into line: inout [UInt32]) {
        // Row y of the upright image is a row or a column of the stored one.
        if orientation.isTransposed {
            source.readColumn(orientation.isFromRight ? source.width - 1 - y : y, into: &line)
            if orientation.isFromBottom { line[..<width].reverse() }
        } else {
            source.readRow(orientation.isFromBottom ? source.height - 1 - y : y, into: &line)
            if orientation.isFromRight { line[..<width].reverse() }
        }
    }

    /// See ``PixelSource/readColumn(_:into:)``.
    public func readColumn(_ x: Int, into line: inout [UInt32]) {
        if orientation.isTransposed {
            source.readRow(orientation.isFromBottom ? source.height - 1 - x : x, into: &line)
            if orientation.isFromRight { line[..<height].reverse() }
        } else {
            source.readColumn(orientation.isFromRight ? source.width - 1 - x : x, into: &line)
            if orientation.isFromBottom { line[..<height].reverse() }
        }
    }
}
