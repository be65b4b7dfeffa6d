// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "MobileNetV4ModelsMain",
    platforms: [.iOS("16.0"), .macOS("13.0"), .tvOS("16.0"), .visionOS("1.0")],
    products: [.library(name: "MobileNetV4ModelsMain", targets: ["MobileNetV4ModelsMain"])],
    dependencies: [.package(path: "../MobileNetV4Kit")],
    targets: [
        .target(
            name: "MobileNetV4ModelsMain",
            dependencies: [.product(name: "MobileNetV4Kit", package: "MobileNetV4Kit")],
            // Copied as they are: Xcode would compile a Core ML package that it sees, and its hash
            // would be lost.
            resources: [.copy("Resources/mnv4")]),
        .testTarget(
            name: "MobileNetV4ModelsMainTests", dependencies: ["MobileNetV4ModelsMain"],
            path: "Tests"),
    ]
)
