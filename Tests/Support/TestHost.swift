import Foundation
package import Glibc
import Synchronization
import Testing

/// Hosts on a network of their own, each with its own file tree, processes and sshd; all gone when this is.
///
/// A thin cover of `hosts/host serve`; `hosts/README.md` tells more. It ends with this process, however that ends.
package final class TestLab: Sendable {
    private let server: Mutex<Server>
    package let about: About

    /// What a process that is on no test host, like this one, needs to reach them.
    package struct About: Decodable, Sendable {
        package let pid: pid_t
        /// This side's address in the hosts' network.
        package let address: String
        package let address6: String
        /// A folder with .ssh/config, .ssh/known_hosts and .ssh/id_ed25519.
        package let home: String
        /// The configuration, for `ssh -F`.
        package let config: String
        /// A folder with an `ssh`, `scp` and `sftp` that use this configuration.
        package let bin: String
        /// For what started programs print.
        let output: String
    }

    /// Why there can be none on this machine; nil if there can.
    package static let obstacle: String? = {
        guard let (works, said) = try? Server.run(["check"]) else { return "Tests/Support/hosts/host can't be started" }
        return works ? nil : said.trimmingCharacters(in: .whitespacesAndNewlines)
    }()

    /// The packages of a newer OpenSSH, downloaded at first use.
    package static let openSSH10: Result<[String], Refusal> = {
        let packages = ["bookworm-backports", "openssh-server", "openssh-client", "openssh-sftp-server"]
        guard let (works, said) = try? Server.run(packages, "fetch") else {
            return .failure(Refusal(error: "Tests/Support/hosts/fetch can't be started"))
        }
        let lines = said.split(separator: "\n").map(String.init)
        return works ? .success(lines) : .failure(Refusal(error: lines.last ?? "nothing could be downloaded"))
    }()

    package init() throws {
        let started = try Server()
        guard let about = try? JSONDecoder().decode(About.self, from: started.greeting) else {
            throw Refusal(error: "the lab did not start")
        }
        self.about = about
        server = Mutex(started)
    }

    /// Makes a host with sshd and nothing of ours: no `semq`, no libssh2, no checkout.
    package func host(_ name: String, _ options: HostOptions = HostOptions()) throws -> TestHost {
        try create(name, options.request)
    }

    /// Makes a host without sshd that has all of this machine's programs, `semq` in PATH, and a home with keys for
    /// all the others.
    /// - Parameters:
    ///   - sees: folders and files of this machine that are there too, beside those of the system.
    ///   - hasClock: as in ``HostOptions``.
    package func client(_ name: String, sees: [String] = [], hasClock: Bool = false) throws -> TestHost {
        let client = try create(name, ["client": true, "see": sees, "clock": hasClock])
        try client.put(Sandbox.binary, at: "/usr/local/bin/semq")
        return client
    }

    private func create(_ name: String, _ options: [String: Any]) throws -> TestHost {
        let answer = try ask("create", options.merging(["name": name]) { $1 })
        return TestHost(lab: self, about: try JSONDecoder().decode(TestHost.About.self, from: answer))
    }

    @discardableResult
    func ask(_ operation: String, _ values: [String: Any]) throws -> Data {
        let request = try JSONSerialization.data(withJSONObject: values.merging(["do": operation]) { $1 })
        let answer = try server.withLock { try $0.ask(request) }
        if let refusal = try? JSONDecoder().decode(Refusal.self, from: answer) { throw refusal }
        return answer
    }

    private let number = Atomic(0)

    func start(_ words: [String], input: String? = nil) throws -> Running {
        let path = "\(about.output)/\(number.add(1, ordering: .relaxed).newValue)"
        return try Running(
            words, folder: "/", input: input ?? "/dev/null", out: path + ".out", err: path + ".err", environment: [:],
            support: self)
    }

    /// What a lab doesn't do.
    package struct Refusal: Error, Decodable, CustomStringConvertible {
        let error: String
        package var description: String { error }
    }
}

/// How a host differs from the usual.
package struct HostOptions {
    /// Further lines for its sshd_config; they come first, so they count.
    package var sshd: [String] = []
    package var port = 22
    /// Of ed25519, ecdsa and rsa.
    package var hostKeys = ["ed25519", "ecdsa"]
    /// The log-in shell of the user lab.
    package var shell = "/bin/bash"
    /// The authorized_keys of root and lab; nil for the key that every client has.
    package var authorizedKeys: String?
    /// Files below the homes of root and lab, `.bashrc` for one, and what is in them.
    package var files: [String: String] = [:]
    /// Paths of this machine that are there too.
    package var sees: [String] = []
    /// How long it seems to run already when it starts, in seconds; nil: as this machine.
    package var uptime: Int?
    /// Whether it has a wall clock of its own, for `setClock`. Whatever runs there is then traced.
    package var hasClock = false
    package var server = Server.openSSH

    package enum Server: Sendable {
        /// This machine's.
        case openSSH
        /// 10.0, of Debian's backports: `Machine.Need.openSSH10`.
        case openSSH10
        /// Its options are the lines in `sshd`.
        case dropbear
    }

    package init() {}

    package init(_ change: (inout HostOptions) -> Void) { change(&self) }

    fileprivate var request: [String: Any] {
        let users = ["root", "lab"].map { name -> [String: Any] in
            var user: [String: Any] = ["name": name, "files": files]
            if name == "lab" { user["shell"] = shell }
            if let authorizedKeys { user["authorized_keys"] = authorizedKeys }
            return user
        }
        var request: [String: Any] = [
            "see": sees, "users": users,
            "sshd": [
                "config": sshd, "port": port, "host_keys": hostKeys,
                "server": server == .dropbear ? "dropbear" : "openssh",
            ],
        ]
        if let uptime { request["boot"] = ["uptime": uptime] }
        if hasClock { request["clock"] = true }
        if server == .openSSH10 { request["packages"] = (try? TestLab.openSSH10.get()) ?? [] }
        return request
    }
}

/// One host of a lab.
package final class TestHost: Sendable {
    private let lab: TestLab
    private let about: About

    struct About: Decodable {
        let name: String
        let address: String
        let address6: String
        let root: String
    }

    init(lab: TestLab, about: About) { (self.lab, self.about) = (lab, about) }

    package var name: String { about.name }
    package var address: String { about.address }
    package var address6: String { about.address6 }
    /// Its file tree, seen from outside; the same from boot to boot.
    package var root: String { about.root }

    // MARK: commands and files

    /// Runs a command to its end.
    /// - Parameter user: `root` or `lab`.
    package func run(_ words: String..., user: String = "root") throws -> Sandbox.Result {
        try start(words, user: user).wait()
    }

    /// Runs a line of shell to its end.
    package func shell(_ line: String, user: String = "root") throws -> Sandbox.Result {
        try start(["/bin/sh", "-c", line], user: user).wait()
    }

    /// Starts a command and leaves it running. `Running.pid` is a process in front of it, which stops and ends as
    /// the command does; `inside` is the command.
    /// - Parameter input: a file on this machine, for its standard input; /dev/null if nil.
    package func start(_ words: [String], user: String = "root", input: String? = nil) throws -> Running {
        try lab.start(prefix(user) + words, input: input)
    }

    /// Starts a command on a terminal of its own, at which somebody sits.
    package func terminal(_ words: [String], user: String = "root") throws -> Pty {
        try Pty(prefix(user) + words, in: Sandbox(), support: self)
    }

    /// What a command is put behind so that it runs there.
    private func prefix(_ user: String) throws -> [String] {
        struct Words: Decodable { let words: [String] }
        return try JSONDecoder().decode(Words.self, from: lab.ask("words", ["name": name, "user": user])).words
    }

    /// Copies a file in.
    package func put(_ file: String, at path: String) throws {
        // By another process: see Sandbox.write.
        let copied = try lab.start(["cp", "--preserve=mode", "--", file, root + path]).wait()
        try #require(copied.status == .exited(0), "\(copied.err)")
    }

    /// What is in a file; empty if there is none.
    package func read(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: root + path) ?? Data(), as: UTF8.self)
    }

    package func exists(_ path: String) -> Bool { access(root + path, F_OK) == 0 }

    /// Makes a program there that answers whatever `ssh` or `semq` asks, and notes the question.
    /// - Returns: words of env(1) by which it is asked.
    package func answering(_ answer: String) throws -> [String] {
        let program = "#!/bin/sh\necho \"$1\" >>/tmp/asked; echo '\(answer)'"
        let made = try shell("cat >/tmp/answer <<'end' && chmod 755 /tmp/answer\n\(program)\nend")
        try #require(made.status == .exited(0), "\(made.err)")
        return ["SSH_ASKPASS=/tmp/answer", "SSH_ASKPASS_REQUIRE=force"]
    }

    /// What the program that ``answering(_:)`` made was asked.
    package var asked: [String] { read("/tmp/asked").split(separator: "\n").map(String.init) }

    // MARK: processes

    package struct Process: Decodable, Sendable {
        /// As this machine numbers it.
        package let pid: pid_t
        /// As the host numbers it.
        package let inner: pid_t
        package let parent: pid_t
        package let uid: uid_t
        package let state: String
        package let name: String
        package let words: [String]
    }

    /// All that run there, the oldest first, its process 1 aside.
    package func processes() throws -> [Process] {
        struct Answer: Decodable { let processes: [Process] }
        return try JSONDecoder().decode(Answer.self, from: lab.ask("processes", ["name": name])).processes
    }

    package enum Target: String {
        /// The processes of sshd that serve connections.
        case sessions
        case listener
        case all
    }

    /// Signals processes of the host; returns which.
    @discardableResult
    package func signal(_ signal: Signal, _ target: Target = .sessions) throws -> [pid_t] {
        struct Answer: Decodable { let pids: [pid_t] }
        let answer = try lab.ask("signal", ["name": name, "signal": signal.rawValue, "who": target.rawValue])
        return try JSONDecoder().decode(Answer.self, from: answer).pids
    }

    package enum Signal: String {
        case kill = "KILL"
        case stop = "STOP"
        case `continue` = "CONT"
        case terminate = "TERM"
    }

    // MARK: faults

    package enum Direction: String {
        case into = "in"
        case out
        case both
    }

    /// From now on packets vanish.
    /// - Parameter peer: only those from and to that host; nil for all.
    package func drop(_ peer: TestHost? = nil, _ direction: Direction = .both) throws {
        try fault("drop", peer, ["direction": direction.rawValue])
    }

    /// From now on TCP packets are answered by a reset.
    package func reject(_ peer: TestHost? = nil, _ direction: Direction = .both) throws {
        try fault("reject", peer, ["direction": direction.rawValue])
    }

    /// Takes back what `drop`, `reject` and `unplug` did; with a peer only what was done towards it.
    package func heal(_ peer: TestHost? = nil) throws { try fault("heal", peer) }

    /// Resets the TCP connections that there are, at both ends.
    package func resetConnections(_ peer: TestHost? = nil) throws { try fault("reset", peer) }

    /// Pulls the network cable.
    package func unplug() throws { try lab.ask("unplug", ["name": name]) }

    private func fault(_ operation: String, _ peer: TestHost?, _ values: [String: Any] = [:]) throws {
        var request = values.merging(["name": name]) { $1 }
        if let peer { request["peer"] = peer.name }
        try lab.ask(operation, request)
    }

    /// Pulls the plug: all processes are dead, the files stay, nobody is told.
    package func turnOff() throws { try lab.ask("off", ["name": name]) }

    /// Starts it again.
    /// - Parameter uptime: how long it seems to run already, in seconds; nil as when it was made.
    package func turnOn(uptime: Int? = nil) throws {
        try lab.ask("boot", ["name": name].merging(uptime.map { ["uptime": $0] } ?? [:]) { $1 })
    }

    package func reboot(uptime: Int? = nil) throws {
        try turnOff()
        try turnOn(uptime: uptime)
    }

    /// The host is no more, its files neither.
    package func destroy() throws { try lab.ask("destroy", ["name": name]) }

    /// Sets the wall clock of a host that has one of its own.
    /// - Parameter ahead: by so many seconds of this machine's; less than 0 is behind.
    package func setClock(ahead: Int) throws { try lab.ask("clock", ["name": name, "ahead": ahead]) }

    // MARK: sshd

    package enum Service: String { case start, stop, restart }

    /// Starts or stops the listener; sessions go on.
    /// - Parameter configuration: replaces the further lines of sshd_config.
    package func sshd(_ action: Service, configuration: [String]? = nil) throws {
        var request: [String: Any] = ["name": name, "action": action.rawValue]
        if let configuration { request["config"] = configuration }
        try lab.ask("sshd", request)
    }
}

extension Running {
    /// The command that was started on a test host, as this machine numbers its process; nil once it is gone.
    package var inside: pid_t? {
        let path = "/proc/\(pid)/task/\(pid)/children"
        var found: pid_t?
        _ = Event.happens {
            let text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
            found = text.split(separator: " ").first.flatMap { pid_t($0) }
            return found != nil || hasEnded
        }
        return found
    }
}

/// A running `host serve`, at the other end of a socket.
private final class Server {
    private let pid: pid_t
    private let stream: UnsafeMutablePointer<FILE>
    let greeting: Data

    private static let folder = Sandbox.root + "/Tests/Support/hosts/"

    init() throws {
        let (child, socket) = try Self.start("host", ["serve"])
        pid = child
        stream = fdopen(socket, "r+")
        greeting = Self.line(stream) ?? Data()
    }

    deinit {
        fclose(stream)
        // It has cleaned up when it ends.
        var status: Int32 = 0
        while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
    }

    func ask(_ request: Data) throws -> Data {
        let line = request + Data("\n".utf8)
        let sent = line.withUnsafeBytes { send(fileno(stream), $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard sent == line.count, let answer = Self.line(stream) else { throw TestLab.Refusal(error: "the lab ended") }
        return answer
    }

    private static func line(_ file: UnsafeMutablePointer<FILE>) -> Data? {
        var text: UnsafeMutablePointer<CChar>?
        var size = 0
        defer { free(text) }
        let count = getline(&text, &size, file)
        guard count > 0, let text else { return nil }
        return Data(bytes: text, count: count)
    }

    /// Runs it to its end; whether all is well, and what it printed.
    static func run(_ arguments: [String], _ program: String = "host") throws -> (Bool, String) {
        let (pid, socket) = try start(program, arguments, errors: true)
        let said = FileHandle(fileDescriptor: socket, closeOnDealloc: true).readDataToEndOfFile()
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        return (status == 0, String(decoding: said, as: UTF8.self))
    }

    /// - Parameter errors: whether standard error goes where standard output does.
    private static func start(_ name: String, _ arguments: [String], errors: Bool = false) throws
        -> (pid: pid_t, socket: Int32)
    {
        let program = folder + name
        var ends: [Int32] = [-1, -1]
        // Close-on-exec: the lab ends when this process's end is closed, and no child may keep it.
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw POSIXError(.EMFILE) }
        defer { close(ends[1]) }
        do {
            let environment = ProcessInfo.processInfo.environment
            let pid = try Spawn.start(program, [program] + arguments, environment, nil) { actions in
                for descriptor: Int32 in errors ? [0, 1, 2] : [0, 1] {
                    posix_spawn_file_actions_adddup2(&actions, ends[1], descriptor)
                }
            }
            return (pid, ends[0])
        } catch {
            close(ends[0])
            throw error
        }
    }
}
