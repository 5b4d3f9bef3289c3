internal import CSemQueue
internal import Glibc

/// A stream to a command on another host, and what carries it.
package final class Link {
    /// Both directions of the command's standard input and output; whoever takes it closes it.
    package let descriptor: Int32
    /// −1 when the other side has closed it.
    private var errors: Int32
    private var said: [UInt8] = []
    private let carrier: any LinkCarrier

    init(_ ends: Ends, _ carrier: any LinkCarrier) {
        descriptor = ends.stream[0]
        errors = ends.errors[0]
        self.carrier = carrier
    }

    deinit { if errors >= 0 { close(errors) } }

    /// What poll(2) is to look at, so that the carrier never stands still because nobody reads its errors.
    var pollEvent: pollfd { pollfd(fd: errors, events: Int16(POLLIN), revents: 0) }

    /// Takes in what was printed on standard error.
    func drain() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while errors >= 0 {
            let count = read(errors, &buffer, buffer.count)
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0 else {
                close(errors)
                errors = -1
                return
            }
            said = (said + buffer[..<count]).suffix(4096)
        }
    }

    /// What was printed on standard error, line by line; the last 4 KiB of it.
    var notes: [String] {
        drain()
        return String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
    }

    /// The last of these lines.
    var complaint: String { notes.suffix(3).joined(by: "; ") }

    /// How it ended: the exit code of the command there, or one of ``ExitOfLink``; nil if that isn't known (yet).
    /// - Parameter limit: how long to wait for the end.
    func exitCode(within limit: Duration) -> Int32? { carrier.exitCode(within: limit) }

    /// Ends what carries it, which may be stuck.
    func kill() { carrier.kill() }

    /// Both ends of the streams, before somebody carries them.
    struct Ends {
        /// Ours, and the carrier's.
        let stream: [Int32]
        let errors: [Int32]

        init(_ host: String) throws(SemaphoreError) {
            var stream: [Int32] = [-1, -1]
            var errors: [Int32] = [-1, -1]
            guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0, &stream) == 0 else {
                throw Self.noRoom(host, errno)
            }
            let error = semq_pipe(&errors)
            guard error == 0 else {
                for end in stream { close(end) }
                throw Self.noRoom(host, error)
            }
            (self.stream, self.errors) = (stream, errors)
        }

        private static func noRoom(_ host: String, _ error: Int32) -> SemaphoreError {
            SemaphoreError(
                .io, "\(host): can't make a stream: \(String(cString: strerror(error)))", systemError: error)
        }

        /// Closes the carrier's ends, here.
        func closeFar() {
            close(stream[1])
            close(errors[1])
        }
    }
}

/// What carries a link.
protocol LinkCarrier: AnyObject {
    func exitCode(within limit: Duration) -> Int32?
    func kill()
}

/// What a link ends with when it is its carrier's own failure.
package enum ExitOfLink {
    /// As ssh does, for whatever reason.
    package static let failed: Int32 = 255
    /// The command there died of a signal, as a shell tells it.
    package static let killed: Int32 = 137
    /// Host key or authentication refused.
    package static let refused: Int32 = 254
}
