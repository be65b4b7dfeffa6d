// swift-tools-version: 6.0
import PackageDescription

// Apart from MobileNetV4Kit, so that an app with Core ML alone downloads nothing.
let package = Package(
    name: "MobileNetV4ExecuTorch",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "MobileNetV4ExecuTorch", targets: ["MobileNetV4ExecuTorch"])],
    dependencies: [
        .package(path: "../MobileNetV4Kit"),
        .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-1.5.1"),
    ],
    targets: [
        .target(
            name: "MobileNetV4ExecuTorch",
            dependencies: [
                .product(name: "MobileNetV4Kit", package: "MobileNetV4Kit"),
                .product(name: "executorch", package: "executorch"),
                .product(name: "backend_xnnpack", package: "executorch"),
                .product(name: "kernels_optimized", package: "executorch"),
                .product(name: "kernels_quantized", package: "executorch"),
            ],
            // Backends and kernels register themselves, which nothing refers to. Xcode links with
            // clang, `swift test` with swiftc, which does not know -Wl. Before tools version 6.2
            // Xcode refuses such flags in a package that an app adds itself, but not in one that
            // another package names by its path.
            linkerSettings: [.unsafeFlags(["-Xlinker", "-all_load"])])
    ]
)
