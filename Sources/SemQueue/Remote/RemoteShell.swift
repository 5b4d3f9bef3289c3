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
    /// How many connections have been made that find nobody to ask.
    private let again = Guarded(0)

    /// Who is to blame where nothing is said at all.
    var carrier: String {
        if case .program(let words, _) = way, words[0] != "ssh", words[0] != LinkProcess.program[0] {
            return "\(words[0]), or the log-in shell there,"
        }
        return "the log-in shell"
    }

    private enum Way: Sendable {
        /// A program such as `ssh`: its words up to the command for a first connection, which may ask on the
        /// terminal, and for later ones, which find nobody to ask and are made in these ways by turns.
        case program(words: [String], unattended: [[String]])
        /// Sessions in this process.
        case sessions(SharedSessions)
    }

    private init(host: String, words: [String], unattended: [[String]]) {
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

    /// By way of a program that takes the same words as OpenSSH's client.
    /// - Parameters:
    ///   - program: a program and options of its own, such as `["ssh", "-F", "config"]`.
    ///   - target: where to.
    package static func ssh(_ program: [String], to target: Address.Host) -> RemoteShell {
        var shell = RemoteShell(
            host: "\(target)", words: sshWords(program, to: target, isBatch: false),
            unattended: [false, true].map { sshWords(program, to: target, isBatch: true, shares: $0) })
        shell.chosen = program
        return shell
    }

    /// When a host that has fallen silent is given up.
    static let silence = Duration.seconds(30)

    /// - Parameter shares: a connection that the user has open is used, if there is one (ControlPath).
    static func sshWords(
        _ program: [String], to target: Address.Host, isBatch: Bool, shares: Bool = false
    ) -> [String] {
        // No terminal there, no agent or display forwarded.
        var options = ["-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"]
        // Never one that others share: their sessions would end when we end it.
        options += ["-o", "ControlMaster=no"] + (shares ? [] : ["-o", "ControlPath=none"])
        // Where we are killed and the host is gone, nobody else would ever end it.
        options += ["-o", "ServerAliveInterval=\(silence.components.seconds / 2)", "-o", "ServerAliveCountMax=2"]
        // Nor would it tire of a host that never says a word.
        options += ["-o", "ConnectTimeout=\(isBatch ? 10 : 30)"]
        let quick = isBatch ? ["-o", "BatchMode=yes", "-o", "ConnectionAttempts=1"] : []
        return program + options + quick + words(for: target)
    }

    /// By a process of this program's own; see ``LinkProcess``.
    /// - Parameter ssh: OpenSSH's client and options of its own, where it is to become that at once.
    package static func own(to target: Address.Host, by ssh: [String]? = nil, isVerbose: Bool) -> RemoteShell {
        let words =
            LinkProcess.program + (isVerbose ? ["-v"] : []) + (ssh.map { ["--by", $0.joined(by: " ")] } ?? [])
        let end = Self.words(for: target)
        let unattended = [["--batch"], ["--batch", "--share"]].map { words + $0 + end }
        return RemoteShell(host: "\(target)", words: words + end, unattended: unattended)
    }

    static func words(for target: Address.Host) -> [String] {
        let user = target.user.map { ["-l", $0] } ?? []
        let port = target.port.map { ["-p", "\($0)"] } ?? []
        return user + port + ["--", target.name]
    }

    /// Starts a command there.
    /// - Parameter isAttended: somebody is there to answer questions.
    /// - Throws: ``SemaphoreError`` with code `unreachable` when what carries it can't be started.
    package func start(_ command: String, isAttended: Bool) throws(SemaphoreError) -> Link {
        let link = try Link.Ends(host)
        // Without the user's connection first, for it may be what was lost; by that then, for there may be no other way
        // without a question.
        let count =
            isAttended
            ? 0
            : again.withLock { count in
                defer { count += 1 }
                return count
            }
        switch way {
        case .program(let words, let unattended):
            let chosen = isAttended ? words : unattended[count % unattended.count]
            return try Link(link, ProgramCarrier(chosen + [command], link, host, mayAsk: isAttended))
        case .sessions(let sessions):
            let shares = isAttended ? nil : count % 2 == 1
            return Link(link, try SessionCarrier(sessions, command, link, isFresh: !isAttended, shares: shares))
        }
    }
}
