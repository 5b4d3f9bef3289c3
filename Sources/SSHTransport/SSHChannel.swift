internal import Synchronization

/// A remote command, or a connection beyond the host, whose bytes the session's thread carries.
public final class SSHChannel: Sendable {
    let number: Int
    private let mailbox: Mailbox
    private let ended = Promise<SSHExit>()
    private let sent = Atomic(0)
    private let received = Atomic(0)
    private let failure = Atomic<Int32>(0)

    init(number: Int, mailbox: Mailbox) {
        self.number = number
        self.mailbox = mailbox
    }

    /// Blocks until the command has ended and all its output has been handed over.
    public func wait() -> SSHExit { ended.wait() }

    /// How it ended; nil where it has not, after so long.
    public func wait(atMost limit: Duration) -> SSHExit? { ended.wait(until: .after(limit)) }

    /// As ``wait()``. Cancelling the task closes the channel.
    public func exit() async -> SSHExit {
        await withTaskCancellationHandler {
            await ended.get()
        } onCancel: {
            close()
        }
    }

    /// Gives the channel up: its descriptors are closed, and the other side learns of it. A command that is still
    /// running loses its input and output, and ends of that or doesn't.
    public func close() { mailbox.post(.close(number)) }

    /// Bytes that were read here and went to the server, or are on their way.
    public var bytesSent: Int { sent.load(ordering: .relaxed) }
    /// Bytes of output that were taken here.
    public var bytesReceived: Int { received.load(ordering: .relaxed) }
    /// Why reading or writing one of the local descriptors failed, an error number such as ENOSPC; 0 where it didn't.
    public var localError: Int32 { failure.load(ordering: .relaxed) }

    // MARK: the session's side

    func count(sent count: Int) { sent.add(count, ordering: .relaxed) }
    func count(received count: Int) { received.add(count, ordering: .relaxed) }
    func note(localError error: Int32) { failure.store(error, ordering: .relaxed) }
    func finish(_ exit: SSHExit) { ended.fulfill(exit) }
}
