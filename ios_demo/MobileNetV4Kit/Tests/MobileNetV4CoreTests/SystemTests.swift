import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests what depends on the system: its version, its units, and where it keeps resources.
struct SystemTests {
    private func manifest(
        _ requires: [String: String], _ bundle: String = Fixtures.float16
    ) throws -> MobileNetV4.Manifest {
        let folder = try Fixtures.edited(bundle) { $0["requires"] = requires }
        return try MobileNetV4.ModelBundle(folder: folder).manifest
    }

    @Test(arguments: [
        ("17", AppleSystem(.iOS, 16), "needs iOS 17, this is iOS 16"),
        ("17", AppleSystem(.macOS, 13), "needs macOS 14, this is macOS 13"),
        ("26", AppleSystem(.macOS, 15), "needs macOS 26, this is macOS 15"),
        ("17", AppleSystem(.tvOS, 16), "needs tvOS 17, this is tvOS 16"),
        ("18", AppleSystem(.visionOS, 1), "needs visionOS 2, this is visionOS 1"),
        ("seventeen", AppleSystem(.iOS, 26), "coreml.min_ios: found 'seventeen', must be a"),
    ])
    func anOlderSystemIsRefused(_ least: String, _ system: AppleSystem, _ why: String) throws {
        let manifest = try manifest(["coreml.min_ios": least])
        #expect(message { try system.check(manifest) }.contains(why))
    }

    @Test func constantsAreNotComputed() {
        let kinds = [
            "const", "ios16.conv", "ios16.constexpr_affine_dequantize", "add", "ios18.const",
            "ios18.constexpr_blockwise_shift_scale", "constexpr_lut_to_dense",
        ]
        #expect(kinds.filter(MobileNetV4.OperatorPlan.isComputed) == ["ios16.conv", "add"])
    }

    @Test func aSystemThatIsNewEnough() throws {
        for (least, system) in [
            ("16", AppleSystem(.iOS, 16)), ("18", AppleSystem(.macOS, 15)),
            ("18", AppleSystem(.macOS, 26)), ("26", AppleSystem(.iOS, 26)),
            ("16", AppleSystem(.visionOS, 1)),
        ] {
            try system.check(manifest(["coreml.min_ios": least]))
        }
        try AppleSystem(.iOS, 1).check(manifest([:]))
        let refused = AppleSystem(.iOS, 16)
        #expect(
            throws: MobileNetV4.Failure.unsupported(
                "\(Fixtures.float16): needs iOS 17, this is iOS 16")
        ) {
            try refused.check(manifest(["coreml.min_ios": "17"]))
        }
    }

    @Test func coreAIsOldestSystem() throws {
        // As `mnv4 build` wrote it.
        let folder = Fixtures.bundle(Fixtures.coreAI)
        let manifest = try MobileNetV4.ModelBundle(folder: folder).manifest
        for family in [AppleSystem.Family.iOS, .macOS, .tvOS, .visionOS] {
            try AppleSystem(family, 27).check(manifest)
            #expect(
                message { try AppleSystem(family, 26).check(manifest) }
                    == "\(Fixtures.coreAI): needs \(family.rawValue) 27, this is "
                    + "\(family.rawValue) 26")
        }
        let strange = try self.manifest(["coreai.min_ios": "next"], Fixtures.coreAI)
        #expect(
            message { try AppleSystem(.iOS, 27).check(strange) }
                .contains("requires.coreai.min_ios: found 'next', must be a version of iOS"))
        // Only the bundle's own runtime counts.
        try AppleSystem(.iOS, 16).check(self.manifest(["coreai.min_ios": "27"]))
    }

    @Test func unitsOfCoreAI() throws {
        for (name, unit) in [
            ("neural_engine", MobileNetV4.ComputeUnit.cpuAndNeuralEngine), ("gpu", .cpuAndGPU),
            ("cpu", .cpuOnly),
        ] {
            let manifest = try manifest(["coreai.compute_unit": name], Fixtures.coreAI)
            #expect(
                try MobileNetV4.ComputeUnit.chosen(nil, for: manifest, simulator: false) == unit)
        }
        let strange = try manifest(["coreai.compute_unit": "all"], Fixtures.coreAI)
        #expect(
            message {
                try MobileNetV4.ComputeUnit.chosen(nil, for: strange, simulator: false)
            }
            .contains("coreai.compute_unit: found 'all', allowed: neural_engine, gpu, cpu"))
    }

    @Test func units() throws {
        let built = try manifest(["coreml.compute_unit": "all"])
        let plain = try manifest([:])
        func chosen(
            _ unit: MobileNetV4.ComputeUnit?, _ manifest: MobileNetV4.Manifest,
            simulator: Bool = false
        ) throws -> MobileNetV4.ComputeUnit {
            try MobileNetV4.ComputeUnit.chosen(unit, for: manifest, simulator: simulator)
        }
        #expect(try chosen(nil, plain) == .cpuAndNeuralEngine)
        #expect(try chosen(nil, built) == .all)
        #expect(try chosen(.cpuAndGPU, built) == .cpuAndGPU)
        #expect(try chosen(.all, built, simulator: true) == .cpuOnly)
        // What `mnv4 build` writes if it is not asked for anything else.
        let bundle = try MobileNetV4.ModelBundle(folder: Fixtures.bundle(Fixtures.float16))
        #expect(try chosen(nil, bundle.manifest) == .cpuAndNeuralEngine)
        let strange = try manifest(["coreml.compute_unit": "ane"])
        #expect(
            message { try chosen(nil, strange) }
                .contains("found 'ane', allowed: all, cpu_and_ne, cpu_and_gpu, cpu_only"))
    }

    @Test(arguments: ["", "Contents/Resources/"])
    func resourcesOfIOSAndOfMacOS(_ inside: String) throws {
        let package = try Fixtures.empty().appendingPathComponent("Kit.bundle")
        let folder = package.appendingPathComponent("\(inside)mnv4/one")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let info = inside.isEmpty ? "Info.plist" : "Contents/Info.plist"
        try Data("<plist version=\"1.0\"><dict/></plist>".utf8)
            .write(to: package.appendingPathComponent(info))
        let resources = try #require(Bundle(url: package))
        let found = MobileNetV4.Model(id: "one", in: resources).folder
        #expect(found.standardizedFileURL.path == folder.standardizedFileURL.path)
    }
}
