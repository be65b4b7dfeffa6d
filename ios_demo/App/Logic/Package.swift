// swift-tools-version: 6.0
// Builds what the app decides for its tests, which run on Linux. Xcode compiles these files into the app.
import PackageDescription

let package = Package(
    name: "Logic",
    platforms: [.iOS(.v16), .macOS(.v13)],
    dependencies: [.package(path: "../../MobileNetV4Kit")],
    targets: [
        .target(
            name: "Logic",
            dependencies: [.product(name: "MobileNetV4Core", package: "MobileNetV4Kit")],
            path: "Sources"),
        .testTarget(name: "LogicTests", dependencies: ["Logic"], path: "Tests"),
    ]
)
