/// A decoded picture, read line by line, so that a camera frame needs no picture in between.
///
/// Pixels are packed as `0x??RRGGBB`; what is in the upper byte does not matter.
public protocol PixelSource: Sendable {
    /// Pixels across.
    var width: Int { get }
    /// Pixels down.
    var height: Int { get }

    /// Puts row `y`, from left to right, into the first `width` elements of `line`.
    func readRow(_ y: Int, into line: inout [UInt32])

    /// Puts column `x`, from top to bottom, into the first `height` elements of `line`.
    func readColumn(_ x: Int, into line: inout [UInt32])
}

/// How a stored picture is to be turned to be upright: EXIF's orientation, or a camera's rotation.
public enum Orientation: Int, Sendable, CaseIterable {
    /// The picture is upright as it is stored.
    case upright = 1
    /// Left and right are swapped.
    case mirrored = 2
    /// Turned by 180 degrees.
    case turned180 = 3
    /// Top and bottom are swapped.
    case mirrored180 = 4
    /// Rows and columns are swapped.
    case transposed = 5
    /// Clockwise by 90 degrees.
    case turned90 = 6
    /// Rows and columns are swapped, from the other corner.
    case transversed = 7
    /// Clockwise by 270 degrees.
    case turned270 = 8

    /// Makes the orientation of EXIF's number; upright for a number that EXIF does not have.
    public init(exif number: Int) {
        self = Orientation(rawValue: number) ?? .upright
    }

    /// Makes the orientation of a camera's clockwise rotation.
    ///
    /// - Throws: ``MNV4Error/badPicture(_:)``: not a multiple of 90.
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

/// A picture, turned upright.
public struct TurnedPixels: PixelSource {
    private let source: any PixelSource
    private let orientation: Orientation

    /// A picture that is stored in this orientation.
    public init(_ source: any PixelSource, orientation: Orientation) {
        self.source = source
        self.orientation = orientation
    }

    /// Pixels across, when upright.
    public var width: Int { orientation.isTransposed ? source.height : source.width }
    /// Pixels down, when upright.
    public var height: Int { orientation.isTransposed ? source.width : source.height }

    /// See ``PixelSource/readRow(_:into:)``.
    public func readRow(_ y: Int, into line: inout [UInt32]) {
        // Row y of the upright picture is a row or a column of the stored one.
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
