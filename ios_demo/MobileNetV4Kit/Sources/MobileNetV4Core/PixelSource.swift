extension MobileNetV4 {
    /// A decoded image, read in parts as it is stored, so that a camera frame needs no intermediate image.
    ///
    /// Pixels are packed as `0x??RRGGBB`; the upper byte is ignored.
    public protocol PixelSource: Sendable {
        /// The width in pixels, as stored.
        var width: Int { get }
        /// The height in pixels, as stored.
        var height: Int { get }
        /// How the image must be turned to be upright.
        var orientation: Orientation { get }

        /// Writes the pixels of a part of the stored image, row by row.
        ///
        /// - Parameters:
        ///   - left: The first column of the part, which lies in the image.
        ///   - top: The first row.
        ///   - width: The number of columns.
        ///   - height: The number of rows.
        ///   - into: Memory for `width * height` pixels or more; the first one goes to its start.
        func read(
            left: Int, top: Int, width: Int, height: Int, into: UnsafeMutablePointer<UInt32>)
    }
}

extension MobileNetV4.PixelSource {
    /// The width in pixels of the upright image.
    public var uprightWidth: Int { orientation.isTransposed ? height : width }
    /// The height in pixels of the upright image.
    public var uprightHeight: Int { orientation.isTransposed ? width : height }
}

extension MobileNetV4 {
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
        /// - Throws: ``Failure/badImage(_:)`` if it is not a multiple of 90.
        public init(degrees: Int) throws {
            switch ((degrees % 360) + 360) % 360 {
            case 0: self = .upright
            case 90: self = .turned90
            case 180: self = .turned180
            case 270: self = .turned270
            default:
                throw Failure.badImage(
                    "rotation: found \(degrees) degrees, allowed: multiples of 90")
            }
        }

        var isTransposed: Bool { rawValue >= 5 }
        var isFromRight: Bool { [.mirrored, .turned180, .transversed, .turned270].contains(self) }
        var isFromBottom: Bool {
            [.turned180, .mirrored180, .turned90, .transversed].contains(self)
        }
    }
}
