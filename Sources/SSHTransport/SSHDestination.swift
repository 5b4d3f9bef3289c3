/// Where to, as somebody typed it: what is missing, and what an alias stands for, is the configuration's to say.
public struct SSHDestination: Hashable, Sendable {
    /// A name, an address, or an alias of `~/.ssh/config`.
    public var host: String
    public var user: String?
    public var port: Int?

    public init(host: String, user: String? = nil, port: Int? = nil) {
        self.host = host
        self.user = user
        self.port = port
    }
}
