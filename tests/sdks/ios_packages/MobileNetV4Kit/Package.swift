// swift-tools-version: 6.0
import PackageDescription

// Replaces the package's own on Linux, which lacks Core ML.
let package = Package(
    name: "MobileNetV4Kit",
    products: [.library(name: "MobileNetV4Kit", targets: ["MobileNetV4Kit"])],
    targets: [
        .target(name: "MobileNetV4Core"),
        .target(
            name: "MobileNetV4Kit", dependencies: ["MobileNetV4Core"], sources: ["Exports.swift"]),
    ]
)
