/// How commands are run on a host.
///
/// Whatever it is that carries a command's standard streams here, the end of it is a descriptor: whoever has that
/// can go on with it, `semq`, its guardian, a thread.
package struct RemoteShell: Sendable {
    /// The host as it was named, for messages.
    package let host: String
    /// The program that was chosen by hand.
    private(set) var chosen: [String]?
    private let way: Way

    /// Who is to blame where nothing is said at all.
    var carrier: String {
        if case .program(let words, _) = way, words[0] != "ssh", words[0] != LinkProcess.program[0] {
            return "\(words[0]), or the log-in shell there,"
        }
        return "the log-in shell"
    }

    private enum Way: Sendable {
        /// A program such as `ssh`: its words up to the command for a first connection, which may ask on the
        /// terminal, and for later ones, which find nobody to ask.
        case program(words: [String], unattended: [String])
        /// Sessions in this process.
        case sessions(SharedSessions)
    }

    private init(host: String, words: [String], unattended: [String]) {
        self.host = host
        way = .program(words: words, unattended: unattended)
    }

    /// By sessions in this process, which all channels to the host share.
    static func shared(to target: Address.Host) -> RemoteShell {
        RemoteShell(host: "\(target)", way: .sessions(SharedSessions(target)))
    }

    private init(host: String, way: Way) {
        self.host = host
        self.way = way
    }

    /// By way of OpenSSH's client, or any program that takes the same words.
    /// - Parameters:
    ///   - program: a program and options of its own, such as `["ssh", "-F", "config"]`.
    ///   - target: where to.
    package static func ssh(_ program: [String], to target: Address.Host) -> RemoteShell {
        var shell = RemoteShell(
            host: "\(target)", words: sshWords(program, to: target, isBatch: false),
            unattended: sshWords(program, to: target, isBatch: true))
        shell.chosen = program
        return shell
    }

    /// When a host that has fallen silent is given up.
    static let silence = Duration.seconds(30)

    static func sshWords(_ program: [String], to target: Address.Host, isBatch: Bool) -> [String] {
        // No terminal there, no agent or display forwarded, nothing shared with the user's own connections.
        var options = ["-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"]
        // Where we are killed and the host is gone, nobody else would ever end it.
        options += ["-o", "ServerAliveInterval=\(silence.components.seconds / 2)", "-o", "ServerAliveCountMax=2"]
        // Nor would it tire of a host that never says a word.
        options += ["-o", "ConnectTimeout=\(isBatch ? 10 : 30)"]
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
    /// - Throws: ``SemaphoreError`` with code `unreachable` when what carries it can't be started.
    package func start(_ command: String, isAttended: Bool) throws(SemaphoreError) -> Link {
        let link = try Link.Ends(host)
        switch way {
        case .program(let words, let unattended):
            return try Link(
                link, ProgramCarrier((isAttended ? words : unattended) + [command], link, host, mayAsk: isAttended))
        case .sessions(let sessions):
            return Link(link, try SessionCarrier(sessions, command, link, isFresh: !isAttended))
        }
    }
}
