internal import CSemQueue
internal import Glibc
internal import SSHTransport

/// A stream to a command on another host, and what carries it.
package final class Link {
    /// The command's standard output, and its standard input; whoever takes them closes them.
    package let input: Int32
    package let output: Int32
    /// −1 when the other side has closed it.
    private var errors: Int32
    private var said: [UInt8] = []
    private let carrier: any LinkCarrier

    init(_ ends: Ends, _ carrier: any LinkCarrier) {
        (input, output, errors) = (ends.output.near, ends.input.near, ends.errors.near)
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
        lines.filter { $0 != LinkProcess.loggedIn }
    }

    /// Somebody is known to be logged in there; of `ssh` that isn't told.
    var isLoggedIn: Bool { lines.contains(LinkProcess.loggedIn) }

    private var lines: [String] {
        drain()
        return String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
    }

    /// What went wrong, by these lines.
    var complaint: SSHComplaint { SSHComplaint(notes) }

    /// How it ended: the exit code of the command there, or one of ``ExitOfLink``; nil if that isn't known (yet).
    /// - Parameter limit: how long to wait for the end.
    func exitCode(within limit: Duration) -> Int32? { carrier.exitCode(within: limit) }

    /// Ends what carries it, which may be stuck.
    func kill() { carrier.kill() }

    /// The command there has answered: from now on what carries it asks nobody.
    func hasAnswered() { carrier.hasAnswered() }

    /// Somebody is asked something for another link, and this one may have to wait for that.
    var mayBeHeldUp: Bool { carrier.mayBeHeldUp }

    /// Both ends of the streams, before somebody carries them. One for each direction, since programs between us and
    /// `ssh` share what they are given, and `ssh` lets nothing block that it shares.
    struct Ends {
        typealias Pair = (near: Int32, far: Int32)

        /// Named as the command there does.
        let input: Pair
        let output: Pair
        let errors: Pair

        /// - Throws: ``SemaphoreError`` with code `io` when there is no room for them.
        init(_ host: String) throws(SemaphoreError) {
            var open: [Int32] = []
            func pair(_ make: (inout [Int32]) -> Int32) throws(SemaphoreError) -> Pair {
                var ends: [Int32] = [-1, -1]
                let error = make(&ends)
                guard error == 0 else {
                    for end in open { close(end) }
                    throw SemaphoreError(
                        .io, "\(host): can't make a stream: \(String(cString: strerror(error)))", systemError: error)
                }
                open += ends
                return (ends[0], ends[1])
            }
            func socket(_ ends: inout [Int32]) -> Int32 {
                socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0, &ends) == 0 ? 0 : errno
            }
            input = try pair(socket)
            output = try pair(socket)
            errors = try pair { semq_pipe(&$0) }
        }

        /// Closes our ends, here.
        func closeNear() { for pair in [input, output, errors] { close(pair.near) } }

        /// Closes the carrier's ends, here.
        func closeFar() { for pair in [input, output, errors] { close(pair.far) } }
    }
}

/// What carries a link.
protocol LinkCarrier: AnyObject {
    func exitCode(within limit: Duration) -> Int32?
    func kill()
    func hasAnswered()
    var mayBeHeldUp: Bool { get }
}

/// For one that never asks.
extension LinkCarrier {
    func hasAnswered() {}
    var mayBeHeldUp: Bool { false }
}

/// What a link ends with when it is its carrier's own failure.
package enum ExitOfLink {
    /// As ssh does, for whatever reason.
    package static let failed: Int32 = 255
    /// The command there died of a signal, as a shell tells it.
    package static let killed: Int32 = 137
    /// Host key or authentication refused.
    package static let refused: Int32 = 254
    /// Somebody was logged in, and then the connection broke; `ssh` doesn't tell that apart.
    package static let broken: Int32 = 253

    static func code(_ error: SSHError) -> Int32 {
        switch error.kind {
        case .hostKey, .authentication: refused
        case .lost: broken
        default: failed
        }
    }
}
