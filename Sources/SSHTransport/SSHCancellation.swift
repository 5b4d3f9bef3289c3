internal import Glibc

/// Ends what another thread waits for: a connect in any phase, a prompt.
public final class SSHCancellation: Sendable {
    private let wake: Wake?

    public init() { wake = Wake() }

    /// From now on, and for ever.
    public func cancel() { wake?.signal() }

    /// Readable once cancelled; −1 where the process had no descriptor left.
    var descriptor: Int32 { wake?.descriptor ?? -1 }

    public var isCancelled: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }
}
