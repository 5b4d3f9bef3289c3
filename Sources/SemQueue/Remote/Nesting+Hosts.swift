internal import SSHTransport

extension Nesting {
    /// What a host is told of permits: those that it keeps, and those of older `semq`s, which don't say who does. A host
    /// never learns the secret of another's.
    /// - Parameter host: as it is named.
    func fields(for host: String) -> [(name: String, value: String)] {
        var told = Nesting(permits: permits.filter { !$0.isVerifiable || Self.isSame($0.host, host) })
        guard !told.permits.isEmpty else { return [] }
        // There it is a permit of its own.
        for index in told.permits.indices { told.permits[index].host = nil }
        let secrets = told.secrets
        return [("held", told.environment)] + (secrets.isEmpty ? [] : [("proof", secrets)])
    }

    /// Whether two names mean one host by what this side knows: they are the same, the configuration makes them the
    /// same, or the same host key is known of both. What a host says of itself counts for nothing.
    private static func isSame(_ known: String?, _ host: String) -> Bool {
        guard let known else { return false }
        if known == host { return true }
        guard let (one, other) = configuration(known).flatMap({ one in configuration(host).map { (one, $0) } }) else {
            return false
        }
        if (one.hostName, one.port) == (other.hostName, other.port) { return true }
        let keys = trusted(one)
        return trusted(other).contains { key in keys.contains { $0.key == key.key } }
    }

    private static func configuration(_ host: String) -> SSHConfiguration? {
        guard case .remote(let address, _)? = try? Address("ssh://\(host)/x") else { return nil }
        return try? SSHConfiguration.resolve(SSHDestination(host: address.name, port: address.port))
    }

    private static func trusted(_ configuration: SSHConfiguration) -> [KnownHostKey] {
        let (host, port) = configuration.knownHost
        return (try? KnownHosts(files: configuration.knownHostsFiles).keys(host: host, port: port).trusted) ?? []
    }
}

extension RemoteSemaphore {
    /// Whoever waits for the command around would wait for ever. Where its host isn't known to be this one, it was told
    /// nothing of the permit.
    /// - Throws: ``SemaphoreError`` where a holder is such a one.
    func checkNotAround(_ ticket: Ticket, token: Int64) throws(SemaphoreError) {
        guard let held = options.held.held(by: ticket, token: token), held.isVerifiable else { return }
        let there = held.host.map { "on the host \($0)" } ?? "as a file on this host"
        throw SemaphoreError(
            .permission,
            "\(name): is held by a command around this one, which has named it \(there); name it as that did")
    }

    /// The same of all holders, before somebody else waits in our place. Asks the host where there is a permit of which
    /// it isn't told.
    func checkNotAround() throws {
        let told = Nesting(environment: nesting.first { $0.name == "held" }?.value)
        guard told.permits.count < options.held.permits.count else { return }
        for holder in (try? status())?.holders ?? [] {
            if told.held(by: holder.ticket, token: holder.token) != nil { continue }
            try checkNotAround(holder.ticket, token: holder.token)
        }
    }
}
