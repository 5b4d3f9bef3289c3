// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "minimalci", path: "..")],
    targets: [
        .executableTarget(
            name: "APIBenchmark", dependencies: [.product(name: "SemQueue", package: "minimalci")]),
        .executableTarget(
            name: "TransferBenchmark", dependencies: [.product(name: "SSHTransport", package: "minimalci")]),
    ],
    swiftLanguageModes: [.v6]
)
