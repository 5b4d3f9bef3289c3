internal import CLibSSH2

/// Opens one channel, step by step. After EAGAIN libssh2 wants the identical call again.
final class Opener {
    enum Step {
        case waiting
        case opened(OpaquePointer, id: UInt32)
        /// The server doesn't want to; behind the host's name.
        case refused(SSHError.Phase, String)
        case failed(Int32)
    }

    /// Nil for a channel that no server opens, asked for only because that reads what has come in while there is
    /// no channel; libssh2 has no call of its own for that.
    let opening: Opening?
    private(set) var phase = SSHError.Phase.open
    let deadline: Deadline
    private let session: OpaquePointer
    private let wire: Wire
    private let type: String
    private let message: [UInt8]
    private var channel: OpaquePointer?
    private var id: UInt32 = 0

    init(_ opening: Opening, session: OpaquePointer, wire: Wire) {
        self.opening = opening
        self.session = session
        self.wire = wire
        (type, message) = opening.purpose.request
        deadline = .after(opening.limit)
    }

    init(idle session: OpaquePointer, wire: Wire) {
        opening = nil
        self.session = session
        self.wire = wire
        type = "idle"
        message = []
        deadline = .never
    }

    private static let window: UInt32 = 1 << 20
    private static let packet: UInt32 = 32768

    func advance() -> Step {
        if channel == nil {
            wire.overheard.forgetRefusal()
            channel = message.withUnsafeBytes { bytes in
                libssh2_channel_open_ex(
                    session, type, UInt32(type.utf8.count), opening?.window ?? Opener.window, Opener.packet,
                    bytes.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(bytes.count))
            }
            guard let channel else { return notOpened(libssh2_session_last_errno(session)) }
            id = wire.overheard.opened ?? 0
            // From here on: a quick command's status may come together with the news that it has started.
            wire.overheard.watch(id)
            guard opening != nil else {
                // Opened after all; whatever it is, it is not wanted.
                discard(channel)
                return .refused(.open, "")
            }
        }
        guard case .exec(let command) = opening?.purpose, let channel else { return .opened(channel!, id: id) }
        phase = .exec
        let code = libssh2_channel_process_startup(
            channel, "exec", 4, command, UInt32(command.utf8.count))
        switch code {
        case 0: return .opened(channel, id: id)
        case LIBSSH2_ERROR_EAGAIN: return .waiting
        case LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED:
            discard(channel)
            return .refused(
                .exec, "refused to run a command: does the account have a shell, and may its key run commands?")
        default: return .failed(code)
        }
    }

    /// Where the other side does not agree at once, the channel is left to the end of the session.
    private func discard(_ channel: OpaquePointer) {
        _ = wire.overheard.status(of: id)
        libssh2_channel_free(channel)
    }

    private func notOpened(_ code: Int32) -> Step {
        switch code {
        case LIBSSH2_ERROR_EAGAIN: return .waiting
        case LIBSSH2_ERROR_CHANNEL_FAILURE:
            let words = wire.overheard.refusal.map { " (\(Printable.text($0)))" } ?? ""
            switch opening?.purpose {
            case .tcp(let host, let port): return .refused(.open, "can't connect on to \(host) port \(port)\(words)")
            case .unix(let path): return .refused(.open, "can't connect on to the socket \(path)\(words)")
            case .exec, nil:
                return .refused(
                    .open,
                    "refused another channel\(words): its limit for one connection is MaxSessions of sshd_config, 10 by "
                        + "default")
            }
        default: return .failed(code)
        }
    }
}
