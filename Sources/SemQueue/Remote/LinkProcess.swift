internal import CSemQueue
internal import Glibc
internal import SSHTransport

/// `semq link`: a program that carries one link to a host, as `ssh` does, over libssh2. Where the host or its
/// configuration wants what only `ssh` can do, it becomes `ssh`.
package struct LinkProcess {
    package var host: Address.Host
    package var command: String
    /// OpenSSH's client and options of its own, chosen by hand; nil leaves the choice.
    package var program: [String]?
    /// Nobody is there to answer questions.
    package var isBatch = false
    /// An `ssh` that asks nobody may use a connection that the user has open.
    package var shares = false
    /// Others may ask at the same terminal: the turn was handed down as descriptor 3.
    package var asksInTurn = false
    /// Says what is chosen and why.
    package var isVerbose = false

    package init(host: Address.Host, command: String) {
        self.host = host
        self.command = command
    }

    /// The words that make this program do it.
    static let program = ["/proc/self/exe", "link"]
    /// What begins a line that is for the user at any rate.
    static let warning = "warning: "
    /// Said as soon as somebody is logged in.
    static let loggedIn = "logged in"
    /// One more for one that may ask.
    static let inTurn = "--in-turn"

    /// - Returns: the exit code of the command there, or one of ``ExitOfLink``.
    package func run() -> Int32 {
        var options = SSHOptions()
        options.silence = RemoteShell.silence
        let turn = asksInTurn ? TerminalTurn(handedDown: 3) : nil
        if let program {
            // Nobody knows whether it asks, nor when: it has the turn until it is answered, or none.
            if !isBatch { turn?.begin(getpid()) }
            return become(program, because: nil)
        }
        if isBatch {
            options.askPassphrase = { _, _ in nil }
        } else {
            let ask = options.askPassphrase
            options.askPassphrase = { prompt, cancellation in
                let watch = HangUpWatch(STDIN_FILENO) { cancellation.cancel() }
                defer { watch.end() }
                if let turn, !turn.take(unless: { isForsaken }) { return nil }
                return ask(prompt, cancellation)
            }
        }
        options.warn = { say("\(Self.warning)\($0)") }
        if isVerbose { options.note = { say($0) } }
        do throws(SSHError) {
            let session = try SSHSession.connect(
                to: SSHDestination(host: host.name, user: host.user, port: host.port), options: options)
            if isVerbose { say("\(host): by libssh2 to \(session.hostName) port \(session.port)") }
            say(Self.loggedIn)
            turn?.giveBack(of: getpid(), restoring: false)
            let channel = try session.exec(command, input: dup(0), output: dup(1), error: dup(2))
            // The session's now: whoever reads us sees the end when it lets go.
            for descriptor in [STDIN_FILENO, STDOUT_FILENO] { close(descriptor) }
            let exit = channel.wait()
            session.close()
            switch exit {
            case .exited(let code): return code
            case .signaled(let name):
                say("the command there was killed by SIG\(name)")
                return ExitOfLink.killed
            case .unknown: break
            }
            say(session.failure?.message ?? "\(host): the connection was lost")
            return ExitOfLink.broken
        } catch {
            if error.kind == .unsupported {
                // Until the command there has answered: whether ssh asks, and when, is its own business.
                if !isBatch { _ = turn?.take(unless: { isForsaken }) }
                return becomeSSH(error)
            }
            semq_turn_end(getpid())
            say(error.message)
            return ExitOfLink.code(error)
        }
    }

    /// Whoever has started us is no more.
    private var isForsaken: Bool {
        var entry = pollfd(fd: STDIN_FILENO, events: 0, revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    private func becomeSSH(_ error: SSHError) -> Int32 {
        let why = error.message
        if isVerbose { say("\(why); by way of ssh") }
        let program = ["ssh"] + (error.keysAreUsedUp ? ["-o", "PubkeyAuthentication=no"] : [])
        return become(program, because: why)
    }

    private func become(_ program: [String], because why: String?) -> Int32 {
        let ssh = SSHProgram(program, to: host)
        let words = ssh.words(isBatch: isBatch, isBatch ? (shares ? .host : .none) : sharing(ssh)) + [command]
        var arguments = words.map { strdup($0) } + [nil]
        // It asks in its own way: Ctrl-Z has to stop it, or it would read on at the shell's prompt.
        if !isBatch { semq_signal_default(SIGTSTP, false) }
        // Whoever it would ask for may be gone by now.
        if !isForsaken { execvp(words[0], &arguments) }
        let reason = String(cString: strerror(errno))
        say(
            why.map { "\($0); and ssh can't be started: \(reason)" }
                ?? "can't start \(words[0]): \(reason); is it installed and in PATH?")
        return ExitOfLink.failed
    }

    /// A connection that the user has open may be what makes a log-in without a question possible.
    private func sharing(_ ssh: SSHProgram) -> SSHProgram.Sharing {
        switch ssh.trial() {
        case .none: return .none
        case .answers(let sharing):
            if isVerbose { say("\(host): over the connection of ssh that is open there (ControlMaster)") }
            return sharing
        case .silent(let place):
            say(
                "\(Self.warning)\(place): nothing comes back over the connection of ssh that is open there "
                    + "(ControlMaster), so another was made; `ssh -O exit \(place)` ends it")
            return .none
        }
    }

    private func say(_ message: String) {
        let bytes = Array("\(message)\n".utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
