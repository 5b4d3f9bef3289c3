// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "minimalci",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "SemQueue", targets: ["SemQueue"]),
        .library(name: "SSHTransport", targets: ["SSHTransport"]),
        .executable(name: "semq", targets: ["SemQueueCLI"]),
    ],
    targets: [
        .target(name: "CSemQueue"),
        .systemLibrary(name: "CLibSSH2", pkgConfig: "libssh2", providers: [.apt(["libssh2-1-dev"])]),
        .target(
            name: "SSHTransport", dependencies: ["CLibSSH2"],
            // What libssh2 is made of: a static program wants it by name.
            linkerSettings: [.linkedLibrary("crypto"), .linkedLibrary("z")]),
        .target(name: "SemQueue", dependencies: ["CSemQueue", "SSHTransport"]),
        .executableTarget(name: "SemQueueCLI", dependencies: ["CSemQueue", "SemQueue"]),
        .testTarget(
            name: "SSHTransportTests", dependencies: ["SSHTransport", "SemQueueSessions", "SemQueueTestSupport"],
            exclude: ["hostile.py"]),
        .executableTarget(name: "SemQueueSessions", dependencies: ["SSHTransport"], path: "Tests/Sessions"),
        .testTarget(name: "SemQueueTests", dependencies: ["CSemQueue", "SemQueue"]),
        .target(name: "SemQueueTestSupport", path: "Tests/Support", exclude: ["hosts"]),
        .testTarget(
            name: "SemQueueCLITests",
            dependencies: ["SemQueueCLI", "SemQueueInjector", "SemQueueLibraryClient", "SemQueueTestSupport"]),
        .executableTarget(name: "SemQueueInjector", path: "Tests/Injector"),
        .executableTarget(name: "SemQueueWorker", path: "Tests/Worker"),
        .testTarget(
            name: "SemQueueFaultTests", dependencies: ["SemQueue", "SemQueueInjector", "SemQueueTestSupport"]),
        .executableTarget(name: "SemQueueLibraryClient", dependencies: ["SemQueue"], path: "Tests/LibraryClient"),
        .testTarget(
            name: "SemQueueRemoteTests",
            dependencies: ["SemQueueCLI", "SemQueueLibraryClient", "SemQueueTestSupport", "SemQueueWorker"]),
    ],
    swiftLanguageModes: [.v6]
)

let withoutSwift = ["CLibSSH2", "CSemQueue", "SemQueueInjector", "SemQueueWorker"]
for target in package.targets where !withoutSwift.contains(target.name) {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
