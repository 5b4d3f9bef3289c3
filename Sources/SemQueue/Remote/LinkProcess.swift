internal import CSemQueue
internal import Glibc
internal import SSHTransport

/// `semq link`: a program that carries one link to a host, as `ssh` does, over libssh2. Where the host or its
/// configuration wants what only `ssh` can do, it becomes `ssh`.
package struct LinkProcess {
    package var host: Address.Host
    package var command: String
    /// Nobody is there to answer questions.
    package var isBatch = false
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
    /// One more for one that may ask.
    static let inTurn = "--in-turn"

    /// - Returns: the exit code of the command there, or one of ``ExitOfLink``.
    package func run() -> Int32 {
        var options = SSHOptions()
        options.silence = RemoteShell.silence
        let turn = asksInTurn ? TerminalTurn(handedDown: 3) : nil
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
        let words = RemoteShell.sshWords(program, to: host, isBatch: isBatch) + [command]
        var arguments = words.map { strdup($0) } + [nil]
        // It asks in its own way: Ctrl-Z has to stop it, or it would read on at the shell's prompt.
        if !isBatch { semq_signal_default(SIGTSTP, false) }
        execvp("ssh", &arguments)
        say("\(why); and ssh can't be started: \(String(cString: strerror(errno)))")
        return ExitOfLink.failed
    }

    private func say(_ message: String) {
        let bytes = Array("\(message)\n".utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
