/// A remote command, or a connection beyond the host, whose bytes the session's thread carries.
public final class SSHChannel: Sendable {
    private let state = Monitor(State())
    private let mailbox: Mailbox
    let number: Int

    private struct State {
        var exit: SSHExit?
        var waiters: [CheckedContinuation<SSHExit, Never>] = []
    }

    init(number: Int, mailbox: Mailbox) {
        self.number = number
        self.mailbox = mailbox
    }

    /// Blocks until the command has ended and all its output has been handed over.
    public func wait() -> SSHExit { state.wait { $0.exit }! }

    /// How it ended, or nil after so long.
    public func wait(atMost limit: Duration) -> SSHExit? { state.wait(until: .after(limit)) { $0.exit } }

    /// As ``wait()``. Cancelling the task closes the channel.
    public func exit() async -> SSHExit {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let exit = state.withLock { state in
                    if state.exit == nil { state.waiters.append(continuation) }
                    return state.exit
                }
                if let exit { continuation.resume(returning: exit) }
            }
        } onCancel: {
            close()
        }
    }

    /// Gives the channel up: its descriptors are closed, and the other side learns of it. A command that is still
    /// running loses its input and output, and ends of that or doesn't.
    public func close() { mailbox.post(.close(number)) }

    func finish(_ exit: SSHExit) {
        let waiters = state.withLock { state in
            if state.exit == nil { state.exit = exit }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: exit) }
    }
}
