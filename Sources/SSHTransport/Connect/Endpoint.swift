/// The other end, as errors name it.
struct Endpoint: Hashable, Sendable {
    /// As somebody typed it.
    var alias: String
    /// The name or address behind it.
    var hostName: String
    var port: Int

    /// `host:port`, an IPv6 address in brackets, an alias with what it stands for.
    var description: String {
        let name = hostName.contains(":") ? "[\(hostName)]:\(port)" : "\(hostName):\(port)"
        return alias == hostName ? name : "\(alias) (\(name))"
    }

    func error(_ kind: SSHError.Kind, _ phase: SSHError.Phase, _ message: String) -> SSHError {
        SSHError(kind, phase, host: alias, port: port, message)
    }
}
