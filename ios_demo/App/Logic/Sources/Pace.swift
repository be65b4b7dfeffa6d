import MobileNetV4Core

/// How many frames are classified, so that a hot device cools down.
enum Pace: Equatable {
    /// All that the network has time for.
    case full
    /// Two per second; the camera slows down too.
    case slow
    /// None; the camera stops too.
    case paused

    /// Chooses the pace for a thermal state; nil for one that is not known.
    init(_ status: MobileNetV4.ThermalStatus?) {
        switch status {
        case nil, .nominal, .fair: self = .full
        case .serious: self = .slow
        case .critical: self = .paused
        }
    }

    /// How many frames per second the camera takes at most; nil if the system decides.
    var cameraRate: Int32? { self == .slow ? 15 : nil }
}

/// Admits the frames of a camera at a pace.
struct Gate {
    /// The pace from the next frame on.
    var pace = Pace.full
    private var last: Double?

    /// Tells whether a frame is classified.
    ///
    /// - Parameter seconds: When the frame was taken.
    mutating func admits(_ seconds: Double) -> Bool {
        switch pace {
        case .full: break
        case .slow: if let last, seconds - last < 0.5 { return false }
        case .paused: return false
        }
        last = seconds
        return true
    }
}
