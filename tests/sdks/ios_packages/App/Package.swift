// swift-tools-version: 6.0
import PackageDescription

// An app with two models packages; tools/ios.py writes them beside it.
let package = Package(
    name: "App",
    dependencies: [
        .package(path: "../models-main"),
        .package(path: "../models-shop"),
    ],
    targets: [
        .executableTarget(
            name: "App",
            dependencies: [
                .product(name: "MobileNetV4ModelsMain", package: "models-main"),
                .product(name: "MobileNetV4ModelsShop", package: "models-shop"),
            ])
    ]
)
