internal import CSemQueue
internal import Glibc
internal import SSHTransport

/// This process's SSH sessions with one host, which its links share.
final class SharedSessions: Sendable {
    let target: Address.Host
    private let sessions = Guarded<[SSHSession]>([])
    /// Held while connecting: whoever comes meanwhile waits for that session and shares it, or its failure.
    private let connecting = Guarded<(at: Duration, error: SSHError)?>(nil)

    init(_ target: Address.Host) { self.target = target }

    /// A channel to a command, on a session that is there or on a new one.
    /// - Parameters:
    ///   - isFresh: the sessions that are there may be dead without knowing it.
    ///   - ends: the channel's ends; they are the session's from then on.
    func exec(
        _ command: String, isFresh: Bool, _ ends: Link.Ends, _ cancellation: SSHCancellation
    ) throws(SSHError) -> SSHChannel {
        guard !isFresh else { return try open(command, on: connect(cancellation), ends) }
        let begun = Duration.monotonic()
        if let channel = share(command, ends) { return channel }
        let result = connecting.withLock { failure -> Result<SSHChannel, SSHError> in
            if let channel = share(command, ends) { return .success(channel) }
            if let failure, failure.at > begun { return .failure(failure.error) }
            do throws(SSHError) {
                return .success(try open(command, on: connect(cancellation), ends))
            } catch {
                if error.kind != .cancelled { failure = (.monotonic(), error) }
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// A channel on a session that is there. A server has room for so many channels in a session (MaxSessions), and
    /// says no to the next.
    private func share(_ command: String, _ ends: Link.Ends) -> SSHChannel? {
        for session in living() {
            if let channel = try? open(command, on: session, ends) { return channel }
        }
        return nil
    }

    private func connect(_ cancellation: SSHCancellation) throws(SSHError) -> SSHSession {
        var options = SSHOptions()
        options.cancellation = cancellation
        options.silence = RemoteShell.silence
        // A library has no terminal to ask on.
        options.askPassphrase = { _, _ in nil }
        let session = try SSHSession.connect(
            to: SSHDestination(host: target.name, user: target.user, port: target.port), options: options)
        sessions.withLock { $0.insert(session, at: 0) }
        return session
    }

    private func living() -> [SSHSession] {
        sessions.withLock { sessions in
            sessions.removeAll { $0.failure != nil }
            return sessions
        }
    }

    private func open(_ command: String, on session: SSHSession, _ ends: Link.Ends) throws(SSHError) -> SSHChannel {
        func copy(_ descriptor: Int32) -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) }
        return try session.exec(
            command, input: copy(ends.input.far), output: copy(ends.output.far), error: copy(ends.errors.far))
    }
}

/// A thread that carries a link over one of the sessions, or hands it to `ssh` where that must be.
final class SessionCarrier: LinkCarrier, Sendable {
    private struct State {
        var channel: SSHChannel?
        var program: Carriers.Program?
        var isKilled = false
        var exitCode: Int32?
    }

    private let state = Guarded(State())
    private let cancellation = SSHCancellation()

    /// - Parameter shares: whether an `ssh` may use a connection that the user has open; nil: if it answers.
    init(
        _ sessions: SharedSessions, _ command: String, _ ends: Link.Ends, isFresh: Bool, shares: Bool?
    ) throws(SemaphoreError) {
        try BlockingThread.start { [self] in
            // Whom the error is for may have gone; a write that fails is no signal in a program that isn't ours.
            semq_block_signals([SIGPIPE], 1, true)
            let code = carry(sessions, command, ends, isFresh, shares)
            state.withLock { $0.exitCode = code }
        }.detach()
    }

    /// The carrier's ends of the streams are closed here, once, on each way.
    private func carry(
        _ sessions: SharedSessions, _ command: String, _ ends: Link.Ends, _ isFresh: Bool, _ shares: Bool?
    ) -> Int32 {
        do throws(SSHError) {
            let channel = try sessions.exec(command, isFresh: isFresh, ends, cancellation)
            ends.closeFar()
            let isKilled = state.withLock { state in
                state.channel = channel
                return state.isKilled
            }
            if isKilled { channel.close() }
            if case .exited(let code) = channel.wait() { return code }
            return ExitOfLink.broken
        } catch {
            if error.kind == .unsupported { return bySSH(sessions.target, command, ends, error, shares) }
            complain(error.message, ends)
            return ExitOfLink.code(error)
        }
    }

    private func bySSH(
        _ target: Address.Host, _ command: String, _ ends: Link.Ends, _ why: SSHError, _ shares: Bool?
    ) -> Int32 {
        let ssh = SSHProgram(["ssh"], to: target)
        let sharing = shares.map { $0 ? SSHProgram.Sharing.host : .none } ?? ssh.trial().sharing
        let words = ssh.words(isBatch: true, sharing) + [command]
        var arguments = words.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var program: Carriers.Program?
        let error = Carriers.start(leads: true, isAwaited: true, &program) { link, mark, isKept in
            semq_spawn_link(
                &link, "ssh", &arguments, mark, true, isKept, ends.input.far, ends.output.far, ends.errors.far, -1, [],
                0)
        }
        guard error == 0, let program else {
            complain("\(why.message); and ssh can't be started: \(String(cString: strerror(error)))", ends)
            return ExitOfLink.failed
        }
        ends.closeFar()
        let isKilled = state.withLock { state in
            state.program = program
            return state.isKilled
        }
        if isKilled { Carriers.kill(program) }
        guard let status = Carriers.awaitEnd(of: program)?.status else { return ExitOfLink.failed }
        return status & 0x7f == 0 ? status >> 8 & 0xff : ExitOfLink.failed
    }

    private func complain(_ message: String, _ ends: Link.Ends) {
        let line = Array((message + "\n").utf8)
        _ = line.withUnsafeBytes { write(ends.errors.far, $0.baseAddress, $0.count) }
        ends.closeFar()
    }

    func exitCode(within limit: Duration) -> Int32? {
        let end = Duration.monotonic() + limit
        while true {
            if let code = state.withLock({ $0.exitCode }) { return code }
            guard Duration.monotonic() < end else { return nil }
            var pause = timespec(tv_sec: 0, tv_nsec: 1_000_000)
            nanosleep(&pause, nil)
        }
    }

    func kill() {
        cancellation.cancel()
        let (channel, program) = state.withLock { state in
            state.isKilled = true
            return (state.channel, state.program)
        }
        channel?.close()
        if let program { Carriers.kill(program) }
    }
}
