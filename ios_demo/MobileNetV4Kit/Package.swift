// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "MobileNetV4Kit",
    platforms: [.iOS(.v16), .macOS(.v13), .tvOS(.v16), .visionOS(.v1)],
    products: [.library(name: "MobileNetV4Core", targets: ["MobileNetV4Core"])],
    targets: [
        .target(name: "MobileNetV4Core"),
        .testTarget(name: "MobileNetV4CoreTests", dependencies: ["MobileNetV4Core"]),
    ]
)

// Elsewhere the core alone builds, which needs nothing but Foundation.
#if canImport(CoreML)
    package.products += [.library(name: "MobileNetV4Kit", targets: ["MobileNetV4Kit"])]
    package.targets += [
        .target(
            name: "MobileNetV4Kit", dependencies: ["MobileNetV4Core"],
            resources: [.process("PrivacyInfo.xcprivacy")]),
        .testTarget(name: "MobileNetV4KitTests", dependencies: ["MobileNetV4Kit"]),
    ]
#endif
