internal import CSemQueue
internal import Glibc

/// How commands are run on a host: a program such as `ssh`, its options, and the host.
///
/// Whatever the program is, it runs as a process of its own that carries the command's standard streams, so
/// that whoever has the stream's descriptor can go on with it: `semq`, its guardian, a thread.
package struct RemoteShell: Hashable, Sendable {
    /// The host as it was named, for messages.
    package let host: String
    /// The program and its words up to the remote command, for a first connection: may ask on the terminal.
    private let words: [String]
    /// The same for later ones, which find nobody to ask.
    private let unattended: [String]

    package init(host: String, words: [String], unattended: [String]) {
        self.host = host
        self.words = words
        self.unattended = unattended
    }

    /// By way of OpenSSH's client, or any program that takes the same words.
    /// - Parameters:
    ///   - program: a program and options of its own, such as `["ssh", "-F", "config"]`.
    ///   - target: where to.
    package static func ssh(_ program: [String], to target: Address.Host) -> RemoteShell {
        RemoteShell(
            host: "\(target)", words: sshWords(program, to: target, isBatch: false),
            unattended: sshWords(program, to: target, isBatch: true))
    }

    static func sshWords(_ program: [String], to target: Address.Host, isBatch: Bool) -> [String] {
        // No terminal there, no agent or display forwarded, nothing shared with the user's own connections.
        let options = ["-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"]
        let quick = isBatch ? ["-o", "BatchMode=yes", "-o", "ConnectionAttempts=1"] : []
        return program + options + quick + words(for: target)
    }

    /// By a process of this program's own; see ``LinkProcess``.
    package static func own(to target: Address.Host, isVerbose: Bool) -> RemoteShell {
        let words = LinkProcess.program + (isVerbose ? ["-v"] : [])
        let end = Self.words(for: target)
        return RemoteShell(host: "\(target)", words: words + end, unattended: words + ["--batch"] + end)
    }

    private static func words(for target: Address.Host) -> [String] {
        let user = target.user.map { ["-l", $0] } ?? []
        let port = target.port.map { ["-p", "\($0)"] } ?? []
        return user + port + ["--", target.name]
    }

    /// Starts a command there.
    /// - Parameter isAttended: somebody is there to answer questions.
    /// - Throws: ``SemaphoreError`` with code `unreachable` when the program can't be started.
    package func start(_ command: String, isAttended: Bool) throws(SemaphoreError) -> Link {
        try Link((isAttended ? words : unattended) + [command], host: host)
    }
}

/// A running program that carries a stream to a command on another host, and the stream.
package final class Link {
    /// Both directions of the command's standard input and output; whoever takes it closes it.
    package let descriptor: Int32
    package let pid: Int32
    /// −1 when the program has closed it.
    private var errors: Int32
    private var said: [UInt8] = []
    private var status: Int32?
    private let program: String

    /// Signals from the terminal are for the command that runs here, not for those who carry its lease.
    private static let ignored = [SIGINT, SIGQUIT, SIGTSTP, SIGHUP]

    fileprivate init(_ words: [String], host: String) throws(SemaphoreError) {
        var stream: [Int32] = [-1, -1]
        var errors: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0, &stream) == 0, semq_pipe(&errors) == 0
        else {
            throw SemaphoreError(
                .io, "\(host): can't make a stream: \(String(cString: strerror(errno)))", systemError: errno)
        }
        // What ps(1) shows.
        let shown = words[0] == LinkProcess.program[0] ? ["semq"] + words.dropFirst() : words
        var arguments = shown.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var pid: Int32 = 0
        let error = semq_spawn(
            &pid, words[0], &arguments, stream[1], stream[1], errors[1], Self.ignored, Int32(Self.ignored.count))
        close(stream[1])
        close(errors[1])
        guard error == 0 else {
            close(stream[0])
            close(errors[0])
            throw SemaphoreError(
                .unreachable,
                "\(host): can't start \(words[0]): \(String(cString: strerror(error)))"
                    + (error == ENOENT ? "; is it installed and in PATH?" : ""), systemError: error)
        }
        self.pid = pid
        Carriers.pids.withLock { _ = $0.insert(pid) }
        self.errors = errors[0]
        descriptor = stream[0]
        program = words[0]
    }

    deinit {
        if errors >= 0 { close(errors) }
        _ = hasEnded()
    }

    /// What poll(2) is to look at, so that the program never stands still because nobody reads its errors.
    var pollEvent: pollfd { pollfd(fd: errors, events: Int16(POLLIN), revents: 0) }

    /// Takes in what the program has printed on standard error.
    func drain() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while errors >= 0 {
            let count = read(errors, &buffer, buffer.count)
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0 else {
                close(errors)
                errors = -1
                return
            }
            said = (said + buffer[..<count]).suffix(4096)
        }
    }

    /// Whether the program has ended. Its end can be learnt once only, by whoever is its parent.
    private func hasEnded() -> Bool {
        var found: Int32 = 0
        guard status == nil else { return true }
        let result = waitpid(pid, &found, WNOHANG)
        if result == pid { status = found }
        if result != 0 { Carriers.pids.withLock { _ = $0.remove(pid) } }
        return result != 0
    }

    /// How the program ended: its exit code, or nil if that isn't known (any more).
    /// - Parameter limit: how long to wait for the end.
    func exitCode(within limit: Duration) -> Int32? {
        let end = Duration.monotonic() + limit
        while !hasEnded(), Duration.monotonic() < end {
            var pause = timespec(tv_sec: 0, tv_nsec: 2_000_000)
            nanosleep(&pause, nil)
        }
        guard let status, status & 0x7f == 0 else { return nil }
        return status >> 8 & 0xff
    }

    /// The last lines that it printed on standard error.
    var complaint: String {
        drain()
        return String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline).suffix(3)
            .joined(separator: "; ")
    }

    /// What it has printed on standard error, line by line.
    var notes: [String] {
        drain()
        return String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
    }

    /// Ends the program, which may be stuck.
    func kill() {
        guard !hasEnded() else { return }
        Glibc.kill(pid, SIGKILL)
        _ = exitCode(within: .milliseconds(200))
    }
}

/// The programs that carry this process's links: they are no part of the work that is done under a permit.
package enum Carriers {
    fileprivate static let pids = Guarded<Set<Int32>>([])

    package static var all: Set<Int32> { pids.withLock { $0 } }

    /// In a forked process, whose children they are not.
    package static func forget() { pids.withLock { $0 = [] } }
}
