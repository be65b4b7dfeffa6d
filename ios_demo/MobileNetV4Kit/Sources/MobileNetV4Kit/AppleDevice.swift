import CoreML
import Darwin
import Foundation

#if canImport(UIKit)
    import UIKit
#endif

extension MobileNetV4 {
    /// The state that one of Apple's devices reports while it measures.
    public struct AppleDevice: Device {
        /// Makes the device that this code runs on.
        public init() {}

        /// Returns the status that the system reports; it reports no temperature.
        public func thermal() -> Thermal {
            switch ProcessInfo.processInfo.thermalState {
            case .nominal: return Thermal(status: .nominal)
            case .fair: return Thermal(status: .fair)
            case .serious: return Thermal(status: .serious)
            case .critical: return Thermal(status: .critical)
            @unknown default: return Thermal()
            }
        }

        /// Returns low power mode, and the battery if there is one.
        public func conditions() async -> [String: Condition] {
            var found: [String: Condition] = [
                "low_power": .text(ProcessInfo.processInfo.isLowPowerModeEnabled ? "on" : "off")
            ]
            if let level = await battery() { found["battery_percent"] = .number(level) }
            return found
        }

        @MainActor
        private func battery() -> Double? {
            #if canImport(UIKit) && !os(tvOS)
                let device = UIDevice.current
                device.isBatteryMonitoringEnabled = true
                let level = device.batteryLevel
                return level < 0 ? nil : (Double(level) * 100).rounded()
            #else
                return nil
            #endif
        }

        /// Returns the largest resident size that the kernel recorded, in MiB.
        public func peakRssMb() -> Double? {
            var usage = Darwin.rusage()
            guard Darwin.getrusage(Darwin.RUSAGE_SELF, &usage) == 0 else { return nil }
            return Double(usage.ru_maxrss) / 1_048_576  // bytes, on Apple's systems
        }
    }
}

extension MobileNetV4.Plan.Unit {
    /// Whether this is the Simulator, where Core ML crashes with anything but the CPU.
    static var isSimulated: Bool {
        #if targetEnvironment(simulator)
            true
        #else
            false
        #endif
    }

    /// The units that Core ML can use here: in the Simulator the CPU alone, whatever is asked for,
    /// and before iOS 17 all, because the system does not say.
    public static var available: [MobileNetV4.Plan.Unit] {
        if isSimulated { return [.cpu] }
        guard #available(iOS 17.0, macOS 14.0, tvOS 17.0, visionOS 1.0, *) else { return allCases }
        let found = Set(MLModel.availableComputeDevices.compactMap(Self.init))
        return allCases.filter(found.contains)
    }
}

extension MobileNetV4.Benchmark {
    /// The argument with which `mnv4 measure --device ios` launches an app.
    public static let argument = "--mnv4-job"

    /// A benchmark of Core ML and Core AI on this device, which prints its steps for the launching
    /// program.
    public static var onThisDevice: MobileNetV4.Benchmark {
        MobileNetV4.Benchmark(
            device: MobileNetV4.AppleDevice(),
            open: { folder, plan in
                let unit = plan.unit.map { MobileNetV4.ComputeUnit($0) }
                return try await MobileNetV4(
                    folder: folder, units: unit.map { .only($0) } ?? .built)
            },
            say: { line in
                // print would buffer lines if the output is not a terminal.
                FileHandle.standardOutput.write(Data("mnv4: \(line)\n".utf8))
            })
    }

    /// Runs the job in this app's documents, if it was launched for one, and ends the app.
    ///
    /// Call it before anything else, because other work of the app would change the figures.
    public func runIfLaunchedForJob() async {
        guard CommandLine.arguments.contains(Self.argument) else { return }
        do {
            let result = try await run(
                documents: try folder(.documentDirectory), results: try folder(.cachesDirectory))
            exit(result.status == .ok ? 0 : 1)
        } catch {
            say("result.json: \(error.localizedDescription)")
            exit(1)
        }
    }

    private func folder(_ kind: FileManager.SearchPathDirectory) throws -> URL {
        try FileManager.default.url(
            for: kind, in: .userDomainMask, appropriateFor: nil, create: true)
    }
}
