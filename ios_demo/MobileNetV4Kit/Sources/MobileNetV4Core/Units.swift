extension MobileNetV4 {
    /// The units that an app asks for when it opens a network.
    public enum Units: Sendable, Hashable {
        /// Those that the bundle was built for.
        case built
        /// These.
        case only(ComputeUnit)
        /// The fastest that are right on this device. The first opening runs the network on all of
        /// them, and the choice is remembered: see ``UnitChoice``.
        case auto

        /// The units that the app names itself.
        package var named: ComputeUnit? {
            if case .only(let unit) = self { return unit }
            return nil
        }
    }
}
