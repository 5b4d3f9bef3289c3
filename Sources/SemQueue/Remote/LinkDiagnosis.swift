internal import Glibc
internal import SSHTransport

/// What `semq doctor` finds out about the way to a host, before any semq there is spoken to.
package struct LinkDiagnosis {
    private let carrier: Hosts.Carrier
    private let target: Address.Host
    private let tell: (Diagnosis.Finding) -> Void

    /// - Parameter tell: hears of each finding as soon as it is made.
    package init(_ carrier: Hosts.Carrier, to target: Address.Host, tell: @escaping (Diagnosis.Finding) -> Void) {
        self.carrier = carrier
        self.target = target
        self.tell = tell
    }

    /// Ends with the first finding that makes the rest impossible.
    /// - Returns: whether there was none.
    package func run() -> Bool {
        switch carrier {
        case .program(let words), .ssh(let words, _): program(words)
        case .sessions, .own: own()
        }
    }

    private func find(
        _ subject: String, _ verdict: Diagnosis.Verdict, _ text: String, _ code: SemaphoreError.Code = .unreachable
    ) {
        tell(Diagnosis.Finding(subject: subject, verdict: verdict, text: text, code: code))
    }

    // MARK: libssh2

    private var destination: SSHDestination {
        SSHDestination(host: target.name, user: target.user, port: target.port)
    }

    private func own() -> Bool {
        let configuration: SSHConfiguration
        do {
            configuration = try .resolve(destination)
        } catch {
            find("configuration", .bad, error.message)
            return false
        }
        for warning in configuration.warnings { find("configuration", .note, warning) }
        let place = "\(configuration.user)@\(configuration.hostName) port \(configuration.port)"
        if let reason = configuration.needsOpenSSH() {
            find("configuration", .good, "by way of ssh to \(place), because \(reason)")
            return trial(["ssh"], name: configuration.hostName, port: configuration.port)
        }
        find("configuration", .good, "libssh2 to \(place)")
        return connect(configuration)
    }

    private func connect(_ configuration: SSHConfiguration) -> Bool {
        let passed = Guarded<[(phase: SSHError.Phase, text: String)]>([])
        let offer = Guarded("")
        func tellPassed() {
            for (phase, text) in passed.withLock({ $0 }) {
                switch phase {
                case .connect: find("route", .good, "\(text) port \(configuration.port) answers")
                case .hostKey: find("host key", .good, text)
                case .authentication: find("log-in", .good, "\(text)\(offer.withLock(\.self))")
                default: break
                }
            }
        }
        var options = SSHOptions()
        options.configuration = configuration
        options.note = { note in
            // The last that was offered was taken.
            if note.hasPrefix("offering ") { offer.withLock { $0 = " by\(note.dropFirst("offering".count))" } }
        }
        let ask = options.askPassphrase
        options.askPassphrase = { prompt, cancellation in TerminalTurn.asking { ask(prompt, cancellation) } }
        options.passed = { phase, text in passed.withLock { $0.append((phase, text)) } }
        do {
            try SSHSession.connect(to: destination, options: options).close()
            tellPassed()
            return true
        } catch {
            guard error.kind != .unsupported else {
                find("configuration", .note, "by way of ssh after all: \(error.message)")
                return trial(["ssh"], name: configuration.hostName, port: configuration.port)
            }
            // Where a port only looks like an answer, the route is what is wrong.
            if error.phase == .banner { passed.withLock { $0.removeAll() } }
            tellPassed()
            let isRefused = error.kind == .hostKey || error.kind == .authentication
            find(Self.subject(of: error.phase), .bad, error.message, isRefused ? .permission : .unreachable)
            return false
        }
    }

    private static func subject(of phase: SSHError.Phase) -> String {
        switch phase {
        case .configuration: "configuration"
        case .resolve, .connect, .banner: "route"
        case .keyExchange, .hostKey: "host key"
        case .authentication, .open, .exec, .transfer, .close: "log-in"
        }
    }

    // MARK: ssh, and what takes the same words

    /// - Parameter words: chosen by hand.
    private func program(_ words: [String]) -> Bool {
        let typed = words.joined(by: " ")
        let output: ProgramOutput
        do throws(ProgramOutput.Failure) {
            output = try ProgramOutput.of(
                words + ["-G", "-N", "-T"] + RemoteShell.words(for: target), limit: .seconds(10))
        } catch {
            switch error {
            case .notFound: find("configuration", .bad, "\(typed): there is no such program in PATH")
            case .timedOut: find("configuration", .bad, "\(typed): does not tell its configuration within 10 s")
            case .system(let number): find("configuration", .bad, "\(typed): \(String(cString: strerror(number)))")
            }
            return false
        }
        let settings = output.out.split(separator: "\n").map { $0.split(separator: " ", maxSplits: 1) }
        func setting(_ name: String) -> String? {
            settings.first { $0.count == 2 && $0[0] == name && $0[1] != "none" }.map { String($0[1]) }
        }
        guard let name = setting("hostname"), let port = setting("port").flatMap({ Int($0) }) else {
            if output.status == 255 {
                let said = output.err.split(whereSeparator: \.isNewline).map(String.init).joined(by: "; ")
                find("configuration", .bad, "\(typed), chosen by hand: \(said)")
                return false
            }
            // What it can do is seen by using it.
            find("configuration", .note, "\(typed), chosen by hand, which doesn't tell its configuration")
            return true
        }
        let way = ["proxyjump", "proxycommand"].compactMap { key in setting(key).map { ", by \(key) \($0)" } }
        find(
            "configuration", .good,
            "\(typed), chosen by hand, to \(setting("user") ?? "?")@\(name) port \(port)\(way.first ?? "")")
        return trial(words, name: name, port: port)
    }

    /// Logs in once, and judges by what `ssh -v` says meanwhile.
    private func trial(_ words: [String], name: String, port: Int) -> Bool {
        let ssh = SSHProgram(words, to: target)
        // Other programs are not asked that, and share nothing at the start.
        let found = SSHProgram.isNamed(by: words) ? ssh.trial() : .none
        var trial = ssh.words(isBatch: true, found.sharing == .hop ? .hop : .none) + ["true"]
        trial.insert("-v", at: words.count)
        let output: ProgramOutput
        do throws(ProgramOutput.Failure) {
            output = try ProgramOutput.of(trial, limit: .seconds(40))
        } catch {
            find(
                "route", .bad,
                "\(words.joined(by: " ")) \(error == .notFound ? "is not in PATH; install OpenSSH's client" : "does not come to an end within 40 s")"
            )
            return false
        }
        var findings = SSHTrial(output.err, host: name, port: port).findings(canAsk: canAsk)
        let isRefused = findings.last.map { $0.subject == "log-in" && $0.verdict != .good } ?? false
        switch found {
        case .none: break
        case .answers(.host) where isRefused:
            let without = findings.removeLast()
            findings.append(
                shared(
                    "over the connection of ssh that is open there (ControlMaster) alone, and where that is lost "
                        + "it can't be made again: \(without.text)"))
        case .answers: findings.append(shared("over the connection of ssh that is open there (ControlMaster)"))
        case .silent(let place):
            findings.append(
                shared(
                    "not over the connection of ssh that is open there (ControlMaster), over which nothing comes "
                        + "back; `ssh -O exit \(place)` ends it"))
        }
        for finding in findings { tell(finding) }
        return !findings.contains { $0.verdict == .bad }
    }

    private func shared(_ text: String) -> Diagnosis.Finding {
        .init(subject: "log-in", verdict: .note, text: text, code: .unreachable)
    }

    /// Somebody sits at a terminal.
    private var canAsk: Bool {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        if terminal >= 0 { close(terminal) }
        return terminal >= 0
    }
}
