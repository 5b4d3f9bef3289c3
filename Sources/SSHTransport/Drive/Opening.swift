/// A channel that somebody wants, and waits for.
final class Opening: Sendable {
    enum Purpose: Hashable, Sendable {
        case exec(String)
        case tcp(host: String, port: Int)
        case unix(path: String)

        /// The channel's type, and what the request carries (RFC 4254, 6.1 and 7.2; OpenSSH's PROTOCOL, 2.4).
        var request: (type: String, message: [UInt8]) {
            var message: [UInt8] = []
            switch self {
            case .exec:
                return ("session", [])
            case .tcp(let host, let port):
                message.append(sshBytes: host.utf8)
                message.append(sshNumber: UInt32(port))
                message.append(sshBytes: "127.0.0.1".utf8)
                message.append(sshNumber: 0)
                return ("direct-tcpip", message)
            case .unix(let path):
                message.append(sshBytes: path.utf8)
                message.append(sshBytes: [])
                message.append(sshNumber: 0)
                return ("direct-streamlocal@openssh.com", message)
            }
        }
    }

    /// The local ends; −1 is nothing to read, and nobody who wants to know.
    struct Ends: Hashable, Sendable {
        var input: Int32
        var output: Int32
        var error: Int32
    }

    let purpose: Purpose
    let ends: Ends
    let channel: SSHChannel
    /// How much may come in before it is taken, in bytes.
    let window: UInt32
    let limit: Duration
    /// Nil once the channel is open, else why it can't be.
    let answer = Promise<SSHError?>()

    init(_ purpose: Purpose, ends: Ends, channel: SSHChannel, window: UInt32, limit: Duration) {
        self.purpose = purpose
        self.ends = ends
        self.channel = channel
        self.window = window
        self.limit = limit
    }
}
