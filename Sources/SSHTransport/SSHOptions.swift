/// What can be chosen for a session beside what the configuration says.
public struct SSHOptions: Sendable {
    /// How a host is reached; nil: as the `ssh` program would, asked of it.
    public var configuration: SSHConfiguration?
    public var limits = SSHLimits()
    /// When a peer that has fallen silent is given up, where the configuration has no `ServerAliveInterval`; nil: never.
    public var silence: Duration?
    /// Asks for the passphrase of a key: the prompt, and what ends the wait. Nil: not given.
    public var askPassphrase: @Sendable (String, SSHCancellation) -> SSHSecret?
    /// What the user should know at any rate: a configuration that is not read.
    public var warn: @Sendable (String) -> Void = { _ in }
    /// What is worth a line under `-v`.
    public var note: @Sendable (String) -> Void = { _ in }
    /// Hears how far a connect has come: a phase that ended well, and what was found in it.
    package var passed: @Sendable (SSHError.Phase, String) -> Void = { _, _ in }
    /// Ends a connect from another thread.
    public var cancellation: SSHCancellation?

    public init() { askPassphrase = { PassphrasePrompt.ask($0, cancellation: $1) } }
}

/// How long each phase may take.
public struct SSHLimits: Hashable, Sendable {
    /// Name to addresses.
    public var resolve: Duration = .seconds(10)
    /// All addresses together; `ConnectTimeout` of the configuration comes before it.
    public var connect: Duration = .seconds(10)
    /// Until the server has said who it is.
    public var banner: Duration = .seconds(10)
    public var keyExchange: Duration = .seconds(15)
    /// All keys together, without the time in which a passphrase is typed.
    public var authentication: Duration = .seconds(30)
    /// One answer of the agent; somebody may have to confirm there.
    public var agent: Duration = .seconds(15)
    /// Until a channel is open and its command has started.
    public var open: Duration = .seconds(15)
    /// Until a channel or the session is closed in good order; then it is cut.
    public var close: Duration = .seconds(2)

    public init() {}
}
