/// Why a session could not be had, or has ended.
public struct SSHError: Error, Hashable, Sendable {
    /// How far it had come.
    public enum Phase: String, Hashable, Sendable, CaseIterable {
        case configuration
        case resolve = "name resolution"
        case connect
        case banner
        case keyExchange = "key exchange"
        case hostKey = "host key check"
        case authentication
        case open = "opening a channel"
        case exec = "starting the command"
        case transfer
        case close
    }

    public enum Kind: Hashable, Sendable {
        /// No answer, or no such host.
        case unreachable
        /// A phase did not end within its limit.
        case timedOut
        /// The host's key is unknown, has changed or is revoked.
        case hostKey
        /// The server takes none of the keys.
        case authentication
        /// This can't be done in the process; the `ssh` program could.
        case unsupported
        /// The connection was there, and is gone.
        case lost
        /// The server refused a channel or a command; the session lives on.
        case refused
        /// Somebody asked for the end.
        case cancelled
        /// What was asked for makes no sense.
        case usage
        /// A call to this system failed.
        case system
    }

    public var phase: Phase
    public var kind: Kind
    public var host: String
    public var port: Int
    /// One sentence that names the host and what to do.
    public var message: String
    /// All keys have been tried: where `ssh` goes on, it need not offer them again, nor ask for passphrases.
    package var keysAreUsedUp = false

    package init(_ kind: Kind, _ phase: Phase, host: String, port: Int, _ message: String) {
        self.phase = phase
        self.kind = kind
        self.host = host
        self.port = port
        self.message = message
    }
}

extension SSHError: CustomStringConvertible {
    public var description: String { message }
}
