import Foundation

/// The choices of units that were made on this device, each in a file that is named by the hash of its
/// artifact and the input size.
///
/// A choice is made once for all callers, and only one at a time, because two would slow each other
/// down. Files of another device or build of the system are removed, and those that were not used for
/// ``Kept/unused`` seconds.
package actor UnitChoices {
    /// A file of this version.
    private struct Record: Codable {
        var schema = Self.newest
        let device: String
        let system: String
        /// How often units were begun and did not end: the app ended before.
        var begun: [String: Int] = [:]
        var choice: MobileNetV4.UnitChoice?

        static let newest = 1
    }

    /// How often units are begun that end the app. Once is not enough: people end apps, too.
    private static let chances = 2
    private static let suffix = ".json"

    private let folder: URL
    private let device: String
    private let system: String
    private let limit: UnitTrial.Limit
    private let latency: UnitTrial.Latency
    private var running: [String: Task<MobileNetV4.UnitChoice, any Error>] = [:]
    private var last: Task<MobileNetV4.UnitChoice, any Error>?
    private var isSwept = false

    /// Keeps choices in a folder.
    ///
    /// - Parameters:
    ///   - folder: The folder, which is made when it is needed. All else in it is removed.
    ///   - device: The maker's name for this model of device.
    ///   - system: The system, with its build.
    package init(folder: URL, device: String, system: String) {
        self.init(
            folder: folder, device: device, system: system,
            limit: { _ in try await Task.sleep(for: .seconds(UnitTrial.seconds)) })
    }

    /// - Parameters:
    ///   - limit: Returns when the time for units is over.
    ///   - latency: Returns the latency of a run; tests have a clock of their own.
    init(
        folder: URL, device: String, system: String, limit: @escaping UnitTrial.Limit,
        latency: @escaping UnitTrial.Latency = { $1.network }
    ) {
        self.folder = folder
        self.device = device
        self.system = system
        self.limit = limit
        self.latency = latency
    }

    /// Returns the choice for a bundle, which is made first if it is not remembered.
    ///
    /// - Parameters:
    ///   - bundle: The bundle.
    ///   - available: The units of this device.
    ///   - open: Makes the loader for units, with the artifact compiled for them.
    /// - Throws: ``Failure/runtimeFailed(_:)`` if no units are right, with the reasons;
    ///   ``Failure/badBundle(_:)`` if the bundle has no golden pair.
    package func choice(
        for bundle: MobileNetV4.ModelBundle, available: [MobileNetV4.Plan.Unit],
        open: @escaping @Sendable (MobileNetV4.ComputeUnit) async throws
            -> any MobileNetV4.SessionLoader
    ) async throws -> MobileNetV4.UnitChoice {
        sweep()
        let name = name(bundle.manifest)
        if let choice = record(file(name))?.choice, choice.isComplete {
            Kept.use(file(name))
            return choice
        }
        if let task = running[name] { return try await task.value }
        let golden = try MobileNetV4.Golden(bundle)
        let trial = UnitTrial(
            bundle: bundle, golden: golden, open: open, limit: limit, latency: latency)
        // A task of its own: a caller that is cancelled does not take the others with it.
        let task = Task { [last] in
            _ = await last?.result
            defer { running[name] = nil }
            return try await choose(trial, available)
        }
        running[name] = task
        last = task
        return try await task.value
    }

    /// Forgets the choice for a bundle, so that the next call makes it again.
    func forget(_ bundle: MobileNetV4.ModelBundle) {
        try? FileManager.default.removeItem(at: file(name(bundle.manifest)))
    }

    private func choose(
        _ trial: UnitTrial, _ available: [MobileNetV4.Plan.Unit]
    ) async throws -> MobileNetV4.UnitChoice {
        let manifest = trial.bundle.manifest
        let file = file(name(manifest))
        var record = record(file) ?? Record(device: device, system: system)
        var findings: [MobileNetV4.UnitChoice.Finding] = []
        for unit in MobileNetV4.ComputeUnit.tried {
            let begun = record.begun[unit.rawValue, default: 0]
            if let lacks = unit.lacks(of: available) {
                findings.append(.init(unit, .failed, reason: "fails: this device has no \(lacks)"))
            } else if begun >= Self.chances {
                let why = "crashes: the app ended \(begun) times while these were tried"
                findings.append(.init(unit, .crashed, reason: why))
            } else {
                record.begun[unit.rawValue] = begun + 1
                write(record, to: file)
                findings.append(try await trial.finding(on: unit))
                record.begun[unit.rawValue] = nil
            }
        }
        record.choice = MobileNetV4.UnitChoice(among: findings)
        write(record, to: file)
        guard let choice = record.choice else {
            throw MobileNetV4.Failure.runtimeFailed(
                "\(manifest.id): no units of this device run it right; "
                    + findings.map(\.description).joined(separator: "; "))
        }
        return choice
    }

    private func name(_ manifest: MobileNetV4.Manifest) -> String {
        "\(manifest.artifact.sha256)-\(manifest.inputSize)"
    }

    private func file(_ name: String) -> URL {
        folder.appendingPathComponent(name + Self.suffix)
    }

    /// Returns what a file says; nil if it is missing, damaged, or of another device or system.
    private func record(_ file: URL) -> Record? {
        guard let data = try? Data(contentsOf: file),
            let found = try? JSONDecoder().decode(Record.self, from: data),
            found.schema == Record.newest, found.device == device, found.system == system
        else { return nil }
        return found
    }

    /// Writes a file. A choice that cannot be remembered is made again by the next launch.
    private func write(_ record: Record, to file: URL) {
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            Kept.excludeFromBackup(folder)
            try JSONEncoder().encode(record).write(to: file, options: .atomic)
        } catch {}
    }

    private func sweep() {
        guard !isSwept else { return }
        isSwept = true
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        for file in names.map(folder.appendingPathComponent)
        where record(file) == nil || !Kept.isUsed(file) {
            try? FileManager.default.removeItem(at: file)
        }
    }
}

/// Loads a bundle on the units that were chosen, and forgets the choice if that fails: they loaded it
/// when they were chosen.
package struct ChosenLoader: MobileNetV4.SessionLoader {
    private let loader: any MobileNetV4.SessionLoader
    private let bundle: MobileNetV4.ModelBundle
    private let choices: UnitChoices

    /// Wraps the loader for the units.
    package init(
        _ loader: any MobileNetV4.SessionLoader, for bundle: MobileNetV4.ModelBundle,
        of choices: UnitChoices
    ) {
        self.loader = loader
        self.bundle = bundle
        self.choices = choices
    }

    package var conditions: [String: MobileNetV4.Condition] { loader.conditions }

    package func ranOn() async -> [MobileNetV4.Plan.Unit] { await loader.ranOn() }

    package func load() async throws -> sending any MobileNetV4.Session {
        do {
            return try await loader.load()
        } catch let failure as MobileNetV4.Failure {
            await choices.forget(bundle)
            throw failure
        }
    }
}

extension MobileNetV4.ComputeUnit {
    /// All units, in the order in which they are tried: of equally fast ones the first are chosen.
    static let tried: [MobileNetV4.ComputeUnit] = [
        .cpuOnly, .cpuAndGPU, .cpuAndNeuralEngine, .all,
    ]

    /// Returns what a device lacks for these units; nil if it has all.
    func lacks(of available: [MobileNetV4.Plan.Unit]) -> String? {
        let (gpu, npu) = (available.contains(.gpu), available.contains(.npu))
        switch self {
        case .cpuOnly: return nil
        case .cpuAndGPU: return gpu ? nil : "GPU"
        case .cpuAndNeuralEngine: return npu ? nil : "Neural Engine"
        case .all: return gpu || npu ? nil : "unit but the CPU"
        }
    }
}
