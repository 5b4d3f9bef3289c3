internal import Glibc

/// Why none of a host's addresses took a connection, in words. No I/O.
struct ConnectFailures {
    let endpoint: Endpoint
    private var failures: [(address: String, error: Int32)] = []

    init(_ endpoint: Endpoint) { self.endpoint = endpoint }

    mutating func add(_ address: String, _ error: Int32) { failures.append((address, error)) }

    /// Where each address has failed.
    var message: String {
        guard !failures.isEmpty else { return "can't connect to \(endpoint.description): no address" }
        return "can't connect to \(endpoint.description): \(reasons([])); \(advice)"
    }

    /// Where the time was over.
    /// - Parameter silent: the addresses that had not answered yet.
    func message(after limit: Duration, silent: [String]) -> String {
        "no connection to \(endpoint.description) within \(limit): \(reasons(silent)); \(Self.isItUp)"
    }

    private func reasons(_ silent: [String]) -> String {
        let failed = failures.map { reason($0.address, String(cString: strerror($0.error))) }
        return (failed + silent.map { reason($0, "no answer") }).joined(separator: ", ")
    }

    /// An address that was typed needn't be told again.
    private func reason(_ address: String, _ reason: String) -> String {
        address == endpoint.hostName ? reason : "\(address): \(reason)"
    }

    private static let isItUp = "is the host up, and does a firewall let it through?"

    private var advice: String {
        let errors = failures.map(\.error)
        if errors.contains(ECONNREFUSED) {
            return "does an SSH server run there, and is \(endpoint.port) its port?"
        }
        if errors.contains(EINVAL), let local = failures.first(where: { $0.address.hasPrefix("fe80:") })?.address {
            return "a link-local address needs the interface that it is behind: \(local)%eth0"
        }
        if errors.contains(ENETUNREACH) { return "is this machine's network up, and does it lead there?" }
        return Self.isItUp
    }
}
