internal import Glibc

/// Connects to the first address of several that answers. The next one starts when the one before has failed, or
/// has not answered for a moment (RFC 8305), so that a dead IPv6 route costs that moment and no more.
struct Dialer {
    let endpoint: Endpoint
    let addresses: [Address]
    let limit: Duration
    let cancellation: SSHCancellation

    private static let head = Duration.milliseconds(250)

    private struct Attempt {
        let socket: Int32
        let address: Address
    }

    /// - Returns: a connected socket, non-blocking and close-on-exec.
    func connect() throws(SSHError) -> Int32 {
        let deadline = Deadline.after(limit)
        var waiting = addresses[...]
        var attempts: [Attempt] = []
        var failures = ConnectFailures(endpoint)
        defer { for attempt in attempts { close(attempt.socket) } }
        while true {
            var next = Deadline.never
            if let address = waiting.first {
                waiting = waiting.dropFirst()
                switch start(address) {
                case .connected(let socket): return socket
                case .pending(let socket): attempts.append(Attempt(socket: socket, address: address))
                case .failed(let error):
                    failures.add(address.text, error)
                    if !waiting.isEmpty { continue }
                }
                if !waiting.isEmpty { next = .after(Dialer.head) }
            }
            guard !attempts.isEmpty else {
                throw endpoint.error(.unreachable, .connect, failures.message)
            }
            var entries = attempts.map { pollfd(fd: $0.socket, events: Int16(POLLOUT), revents: 0) }
            entries.append(pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0))
            poll(&entries, nfds_t(entries.count), min(deadline, next).milliseconds)
            if entries.last!.revents != 0 {
                throw endpoint.error(.cancelled, .connect, "connecting to \(endpoint.description) was cancelled")
            }
            for (index, entry) in entries.dropLast().enumerated().reversed() where entry.revents != 0 {
                let attempt = attempts.remove(at: index)
                var error: Int32 = 0
                var length = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(attempt.socket, SOL_SOCKET, SO_ERROR, &error, &length)
                if error == 0 { return attempt.socket }
                close(attempt.socket)
                failures.add(attempt.address.text, error)
            }
            if deadline.hasPassed {
                let silent = attempts.map(\.address.text)
                throw endpoint.error(.timedOut, .connect, failures.message(after: limit, silent: silent))
            }
        }
    }

    private enum Start {
        case connected(Int32)
        case pending(Int32)
        case failed(Int32)
    }

    private func start(_ address: Address) -> Start {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else { return .failed(errno) }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        let result = address.bytes.withUnsafeBytes { raw in
            Glibc.connect(
                descriptor, raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
        }
        if result == 0 { return .connected(descriptor) }
        let error = errno
        if error == EINPROGRESS { return .pending(descriptor) }
        close(descriptor)
        return .failed(error)
    }
}
