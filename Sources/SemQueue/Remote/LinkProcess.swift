internal import Glibc
internal import SSHTransport

/// `semq link`: a program that carries one link to a host, as `ssh` does, over libssh2. Where the host or its
/// configuration wants what only `ssh` can do, it becomes `ssh`.
package struct LinkProcess {
    package var host: Address.Host
    package var command: String
    /// Nobody is there to answer questions.
    package var isBatch = false
    /// Says what is chosen and why.
    package var isVerbose = false

    package init(host: Address.Host, command: String) {
        self.host = host
        self.command = command
    }

    /// The words that make this program do it.
    static let program = ["/proc/self/exe", "link"]

    /// - Returns: the exit code of the command there, or one of ``ExitOfLink``.
    package func run() -> Int32 {
        var options = SSHOptions()
        options.silence = RemoteShell.silence
        if isBatch { options.askPassphrase = { _, _ in nil } }
        if isVerbose { options.note = { say($0) } }
        do throws(SSHError) {
            let session = try SSHSession.connect(
                to: SSHDestination(host: host.name, user: host.user, port: host.port), options: options)
            if isVerbose { say("\(host): by libssh2 to \(session.hostName) port \(session.port)") }
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
            if error.kind == .unsupported { return becomeSSH(error) }
            say(error.message)
            return ExitOfLink.code(error)
        }
    }

    private func becomeSSH(_ error: SSHError) -> Int32 {
        let why = error.message
        if isVerbose { say("\(why); by way of ssh") }
        let program = ["ssh"] + (error.keysAreUsedUp ? ["-o", "PubkeyAuthentication=no"] : [])
        let words = RemoteShell.sshWords(program, to: host, isBatch: isBatch) + [command]
        var arguments = words.map { strdup($0) } + [nil]
        execvp("ssh", &arguments)
        say("\(why); and ssh can't be started: \(String(cString: strerror(errno)))")
        return ExitOfLink.failed
    }

    private func say(_ message: String) {
        let bytes = Array("\(message)\n".utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
