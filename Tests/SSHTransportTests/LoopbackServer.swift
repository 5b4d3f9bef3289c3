import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// A real sshd on a loopback port, with keys of its own, that lets the user of this process in.
final class LoopbackServer: Sendable {
    let workshop: Workshop
    let port: Int
    /// A shell that ends sshd when this process has ended, however that was: then it reads the end of a stream.
    private let process: pid_t
    private let leash: Ends

    /// - Parameter lines: of sshd_config; they come first, so they count.
    init(_ lines: [String] = [], hostKeys: [String] = ["ed25519"]) throws {
        let workshop = try Workshop()
        self.workshop = workshop
        if geteuid() == 0 { mkdir("/run/sshd", 0o755) }
        let port = try LoopbackServer.freePort()
        self.port = port
        var own = ["ListenAddress 127.0.0.1", "Port \(port)", "PidFile none", "UsePAM no", "StrictModes no"]
        own += ["PermitRootLogin yes", "AuthorizedKeysFile \(workshop.path("authorized_keys"))", "LogLevel DEBUG1"]
        // What this machine's user has in the files that log-in shells read is no part of the tests; it may hang.
        own.append("SetEnv HOME=\(workshop.folder)")
        for type in hostKeys {
            try workshop.key("host_\(type)", type: type)
            own.append("HostKey \(workshop.path("host_\(type)"))")
        }
        try workshop.key("id")
        try workshop.write("authorized_keys", workshop.read("id.pub"))
        try workshop.write("sshd_config", (lines + own).joined(separator: "\n") + "\n")
        let known = hostKeys.map { "[127.0.0.1]:\(port) \(workshop.read("host_\($0).pub"))" }.joined()
        try workshop.write("known_hosts", known)
        leash = try Ends()
        process = try LoopbackServer.start(workshop, leash)
        let isUp = Event.happens { (try? FakeServer.dial(port)).map { close($0) } != nil }
        try #require(isUp, "sshd did not start: \(workshop.read("log"))")
    }

    deinit {
        for pid in sessions { kill(pid, SIGKILL) }
        close(leash.ours)
        waitpid(process, nil, 0)
    }

    var log: String { workshop.read("log") }

    /// The processes that serve connections, and what runs under them.
    var sessions: [pid_t] { LoopbackServer.children(of: process).flatMap { LoopbackServer.descendants(of: $0) } }

    /// Makes a configuration file for `ssh -F`, in which the host is called `lab`.
    func config(_ lines: [String] = [], name: String = "config") throws -> String {
        let own = [
            "HostName 127.0.0.1", "Port \(port)", "User \(NSUserName())", "IdentitiesOnly yes", "IdentityAgent none",
            "UserKnownHostsFile \(workshop.path("known_hosts"))", "GlobalKnownHostsFile none",
        ]
        let identity = lines.contains { $0.hasPrefix("IdentityFile ") } ? [] : ["IdentityFile \(workshop.path("id"))"]
        return try workshop.write(name, "Host lab\n" + (lines + identity + own).joined(separator: "\n") + "\n")
    }

    /// - Parameter lines: of ssh_config; they come first, so they count.
    func options(_ lines: [String] = [], _ change: (inout SSHOptions) -> Void = { _ in }) throws -> SSHOptions {
        let name = "config.\(UInt32.random(in: 0...UInt32.max))"
        let program = ["ssh", "-F", try config(lines, name: name)]
        var options = SSHOptions()
        options.configuration = try SSHConfiguration.resolve(SSHDestination(host: "lab"), program: program)
        options.askPassphrase = { _, _ in nil }
        change(&options)
        return options
    }

    func connect(_ lines: [String] = [], _ change: (inout SSHOptions) -> Void = { _ in }) throws -> SSHSession {
        try SSHSession.connect(to: SSHDestination(host: "lab"), options: options(lines, change))
    }

    /// Connects, which must fail, and tells how.
    func failure(_ lines: [String] = [], _ change: (inout SSHOptions) -> Void = { _ in }) throws -> SSHError {
        let options = try options(lines, change)
        return try #require(throws: SSHError.self) {
            try SSHSession.connect(to: SSHDestination(host: "lab"), options: options).close()
        }
    }

    private static func freePort() throws -> Int {
        let server = try FakeServer { _ in }
        return server.port
    }

    private static func start(_ workshop: Workshop, _ leash: Ends) throws -> pid_t {
        defer { close(leash.theirs) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, leash.theirs, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var words: [UnsafeMutablePointer<CChar>?] = [
            "/bin/sh", "-c", "\"$@\" & read -r end; kill $!; wait", "sshd",
            "/usr/sbin/sshd", "-D", "-f", workshop.path("sshd_config"), "-E", workshop.path("log"),
        ].map { (word: String) in strdup(word) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Dispatch's threads have all signals blocked, and a shell that hears no SIGCHLD waits for ever.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var pid: pid_t = 0
        let error = posix_spawn(&pid, "/bin/sh", &actions, &attributes, &words, environ)
        try #require(error == 0, "sshd (Debian package openssh-server): \(String(cString: strerror(error)))")
        return pid
    }

    private static func children(of pid: pid_t) -> [pid_t] {
        let text = FileManager.default.contents(atPath: "/proc/\(pid)/task/\(pid)/children") ?? Data()
        return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { pid_t($0) }
    }

    private static func descendants(of pid: pid_t) -> [pid_t] {
        children(of: pid).flatMap { [$0] + descendants(of: $0) }
    }
}
