internal import Glibc

/// Turns a name into addresses, within a time limit.
///
/// getaddrinfo(3) can't be interrupted, so it has a thread of its own, which is left to end by itself. In a fully
/// static program it knows /etc/hosts and DNS only; what it misses is asked of getent(1), which knows the rest, and
/// what that doesn't find is left to `ssh`, which may have another C library than both.
struct Resolver {
    let endpoint: Endpoint
    /// AF_INET, AF_INET6 or AF_UNSPEC.
    let family: Int32
    let limit: Duration
    let cancellation: SSHCancellation
    /// Whether there is an `ssh` to leave names to.
    var hasOpenSSH = true

    func addresses() throws(SSHError) -> [Address] {
        let numeric = Resolver.ask(
            endpoint.hostName, port: endpoint.port, family: family, flags: AI_NUMERICHOST | AI_NUMERICSERV)
        if case .found(let addresses) = numeric { return addresses }
        let deadline = Deadline.after(limit)
        switch try inThread(until: deadline) {
        case .found(let addresses): return addresses
        case .failed(let reason): return try askGetent(until: deadline, reason: reason)
        }
    }

    private enum Outcome: Sendable {
        case found([Address])
        case failed(String)
    }

    private static func ask(_ name: String, port: Int, family: Int32, flags: Int32) -> Outcome {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags
        var list: UnsafeMutablePointer<addrinfo>?
        let error = getaddrinfo(name, String(port), &hints, &list)
        guard error == 0 else { return .failed(String(cString: gai_strerror(error))) }
        defer { freeaddrinfo(list) }
        return .found(Address.list(list))
    }

    private func inThread(until deadline: Deadline) throws(SSHError) -> Outcome {
        let answer = Monitor<Outcome?>(nil)
        guard let wake = Wake() else {
            throw endpoint.error(.system, .resolve, "no descriptor is left to look up \(endpoint.description) with")
        }
        let (name, port, family) = (endpoint.hostName, endpoint.port, family)
        let thread = SessionThread.start {
            let outcome = Resolver.ask(name, port: port, family: family, flags: AI_NUMERICSERV)
            answer.withLock { $0 = outcome }
            wake.signal()
        }
        guard let thread else {
            throw endpoint.error(.system, .resolve, "no thread can be started to look up \(endpoint.description)")
        }
        thread.detach()
        try wait(for: wake.descriptor, until: deadline)
        return answer.withLock { $0! }
    }

    /// Returns when the descriptor is readable.
    private func wait(for descriptor: Int32, until deadline: Deadline) throws(SSHError) {
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&entries, 2, deadline.milliseconds)
            if entries[1].revents != 0 {
                throw endpoint.error(.cancelled, .resolve, "looking up \(endpoint.description) was cancelled")
            }
            if entries[0].revents != 0 { return }
            if count == 0, deadline.hasPassed {
                throw endpoint.error(
                    .timedOut, .resolve,
                    "the name \(endpoint.hostName) could not be resolved within \(limit): see to the name server, "
                        + "or give an address")
            }
        }
    }

    private func askGetent(until deadline: Deadline, reason: String) throws(SSHError) -> [Address] {
        let database =
            switch family {
            case AF_INET: "ahostsv4"
            case AF_INET6: "ahostsv6"
            default: "ahosts"
            }
        let output: ProgramOutput
        do {
            output = try ProgramOutput.of(["getent", database, "--", endpoint.hostName], limit: deadline.remaining)
        } catch {
            throw endpoint.error(
                .unsupported, .resolve,
                "the name \(endpoint.hostName) can't be resolved here (\(reason)), and getent doesn't help")
        }
        var result: [Address] = []
        for line in output.out.split(separator: "\n") {
            guard let word = line.split(separator: " ").first else { continue }
            let outcome = Resolver.ask(
                String(word), port: endpoint.port, family: family, flags: AI_NUMERICHOST | AI_NUMERICSERV)
            guard case .found(let addresses) = outcome else { continue }
            for address in addresses where !result.contains(address) { result.append(address) }
        }
        guard !result.isEmpty else {
            let missing = "no address is known for \(endpoint.hostName) (\(reason))"
            guard !hasOpenSSH else { throw endpoint.error(.unsupported, .resolve, "\(missing), nor to getent") }
            throw endpoint.error(.unreachable, .resolve, "\(missing): check the name, and the name server")
        }
        return result
    }
}
