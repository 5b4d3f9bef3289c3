/// How a remote command ended, as the server told it.
public enum SSHExit: Hashable, Sendable {
    case exited(Int32)
    /// The signal's name without SIG, as `KILL`.
    case signaled(String)
    /// The server didn't say: the connection broke, or the channel was closed first. Never success.
    case unknown
}
