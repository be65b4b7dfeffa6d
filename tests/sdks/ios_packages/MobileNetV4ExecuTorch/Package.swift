// swift-tools-version: 6.0
import PackageDescription

// Replaces the package's own, which downloads ExecuTorch.
let package = Package(
    name: "MobileNetV4ExecuTorch",
    products: [.library(name: "MobileNetV4ExecuTorch", targets: ["MobileNetV4ExecuTorch"])],
    dependencies: [.package(path: "../MobileNetV4Kit")],
    targets: [
        .target(
            name: "MobileNetV4ExecuTorch",
            dependencies: [.product(name: "MobileNetV4Kit", package: "MobileNetV4Kit")],
            sources: ["Exports.swift"],
            // In the form of the package's own.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--as-needed"])])
    ]
)
