import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// A server that takes us in, and then misbehaves (`hostile.py`).
@Suite(.enabled(if: Machine.has(.program("sshd", package: "openssh-server")) && HostileServer.canRun))
struct HostileServerTests {
    @Test(arguments: ["flood", "questions"]) func aFloodHasAnEnd(_ deed: String) throws {
        let server = try HostileServer(deed)
        let before = Usage.now.memory
        let session = try server.connect()
        let channel = try session.exec("go", input: -1, output: -1, error: -1)
        #expect(channel.wait(atMost: .seconds(120)) == .unknown)
        // Other tests run meanwhile; a flood would go on to gigabytes.
        #expect(Usage.now.memory - before < 800 << 10)
        session.close()
        let failure = try #require(session.failure)
        #expect(failure.kind == .lost)
        #expect(failure.message.contains("is lost: "))
        if deed == "flood" { #expect(failure.message.contains("the server sent far more than was asked of it")) }
    }

    /// The same for the program that carries `semq`'s connections, alone in its process.
    @Test(arguments: ["flood", "questions"]) func aLinkUnderAFloodKeepsItsMeasure(_ deed: String) throws {
        let server = try HostileServer(deed)
        let sandbox = try Sandbox()
        try sandbox.write("ssh", "#!/bin/sh\nexec /usr/bin/ssh -F \(server.config()) \"$@\"\n", executable: true)
        let link = try sandbox.start(
            [Sandbox.binary, "link", "--", "hostile", "go"], environment: ["PATH": "\(sandbox.folder):/usr/bin:/bin"])
        var most = 0
        let hasEnded = Event.happens(within: 120) {
            let status = (try? String(contentsOfFile: "/proc/\(link.pid)/status", encoding: .utf8)) ?? ""
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            most = max(most, line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0)
            return link.hasEnded
        }
        #expect(hasEnded)
        // What libssh2 may have, and itself.
        #expect(most < (256 + 64) << 10, "\(most) KiB")
        // Broken after the log-in.
        #expect(link.wait().status == .exited(253))
        #expect(link.err.contains("is lost: "), "\(link.err)")
    }

    @Test func dataBeyondTheWindowIsDropped() throws {
        let server = try HostileServer("window")
        let session = try server.connect()
        defer { session.close() }
        let ends = try Ends()
        let channel = try session.exec("go", input: -1, output: ends.theirs, error: -1)
        // 30 MB are sent. Nobody reads, so that the window stays as it is.
        _ = channel.wait(atMost: .milliseconds(500))
        let count = ends.all().count
        #expect(count < 30_000_000)
        #expect(channel.wait() == .unknown)
        close(ends.ours)
    }

    @Test func anEndWithoutAStatusIsNoSuccess() throws {
        let server = try HostileServer("silent-end")
        let session = try server.connect()
        defer { session.close() }
        #expect(try session.run("go") == Spoken(exit: .unknown, out: "fine\n", err: ""))
    }

    @Test func theFirstStatusCounts() throws {
        let server = try HostileServer("status")
        let session = try server.connect()
        defer { session.close() }
        #expect(try session.run("go").exit == .exited(7))
    }

    @Test func aGoodbyeIsPassedOn() throws {
        let server = try HostileServer("disconnect")
        let session = try server.connect()
        // The goodbye may come before the word that the command has started.
        if let spoken = try? session.run("go") { #expect(spoken.exit == .unknown) }
        session.close()
        #expect(session.failure?.message.hasSuffix("is lost: the server said: closing time [31m") == true)
    }

    @Test func channelsThatNobodyAskedForAreRefused() throws {
        let server = try HostileServer("requests")
        let session = try server.connect()
        defer { session.close() }
        #expect(try session.run("go").exit == .exited(5))
        #expect(session.failure == nil)
    }
}

/// A running `hostile.py`.
final class HostileServer {
    private let workshop: Workshop
    private let port: Int
    private let process: pid_t

    /// Debian's own Python has the module.
    private static let python = "/usr/bin/python3"

    static let canRun: Bool = {
        let output = try? ProgramOutput.of([python, "-c", "import paramiko"], limit: .seconds(30))
        if output?.status == 0 { return true }
        let reason = "there is no paramiko for \(python) (Debian package python3-paramiko)"
        if ProcessInfo.processInfo.environment["CI"] == "true" { Issue.record("not tested, because \(reason)") }
        print("HostileServerTests: not tested, because \(reason)")
        return false
    }()

    init(_ deed: String) throws {
        workshop = try Workshop()
        try workshop.key("host", ["-m", "PEM"], type: "ecdsa")
        try workshop.key("id")
        let port = try FakeServer { _ in }.port
        self.port = port
        try workshop.write("known_hosts", "[127.0.0.1]:\(port) \(workshop.read("host.pub"))")
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("hostile.py")
            .path
        var words: [UnsafeMutablePointer<CChar>?] = [Self.python, script, "\(port)", workshop.path("host"), deed].map {
            (word: String) in strdup(word)
        }
        words.append(nil)
        defer { for word in words { free(word) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 2, workshop.path("log"), O_WRONLY | O_CREAT, 0o600)
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, Self.python, &actions, nil, &words, environ) == 0)
        process = pid
        let isUp = Event.happens { (try? FakeServer.dial(port)).map { close($0) } != nil }
        try #require(isUp, "hostile.py did not start: \(workshop.read("log"))")
    }

    deinit {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
    }

    /// A configuration file for `ssh -F`, in which the host is called `hostile`.
    func config() throws -> String {
        try workshop.write(
            "config",
            """
            Host hostile
            HostName 127.0.0.1
            Port \(port)
            IdentityFile \(workshop.path("id"))
            IdentitiesOnly yes
            IdentityAgent none
            UserKnownHostsFile \(workshop.path("known_hosts"))

            """)
    }

    func connect() throws -> SSHSession {
        var configuration = SSHConfiguration(host: "hostile", hostName: "127.0.0.1", user: "u")
        configuration.port = port
        configuration.userKnownHostsFiles = [workshop.path("known_hosts")]
        configuration.identities = [SSHIdentity(path: workshop.path("id"))]
        var options = SSHOptions()
        options.configuration = configuration
        return try SSHSession.connect(to: SSHDestination(host: "hostile"), options: options)
    }
}
