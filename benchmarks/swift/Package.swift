// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "Preprocessing",
    platforms: [.macOS(.v13)],
    dependencies: [.package(path: "../../ios_demo/MobileNetV4Kit")],
    targets: [
        .executableTarget(
            name: "Preprocessing",
            dependencies: [.product(name: "MobileNetV4Core", package: "MobileNetV4Kit")])
    ]
)
