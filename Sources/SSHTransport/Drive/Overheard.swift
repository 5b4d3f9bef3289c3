/// What libssh2 throws away, though we need it: read from its messages when it frees them.
///
/// It keeps no reason why a channel was refused and no list of methods beside a refused key, and a command
/// that never told its exit status has status 0 like one that succeeded.
struct Overheard {
    /// The methods of authentication that could go on, from the newest refusal.
    private(set) var methods: [String] = []
    /// How often the server has said no.
    private(set) var refusals = 0
    /// A key was right, and something more is asked for.
    private(set) var wantsMore = false
    /// Our number of the channel that was opened last.
    private(set) var opened: UInt32?
    /// Why the last channel was refused, in the server's words.
    private(set) var refusal: String?
    /// The status of those commands that told one, by channel.
    private var statuses: [UInt32: UInt32?] = [:]

    /// From now on the status of this channel is of interest.
    mutating func watch(_ channel: UInt32) { statuses[channel] = .some(nil) }

    /// The status that was told for this channel, which isn't watched any more.
    mutating func status(of channel: UInt32) -> UInt32? { statuses.removeValue(forKey: channel) ?? nil }

    mutating func forgetRefusal() { refusal = nil }

    /// One message, without its length and padding: RFC 4252, 5.1; RFC 4254, 5.1 and 6.10.
    mutating func note(_ message: UnsafeRawBufferPointer) {
        guard let type = message.first else { return }
        var reader = MessageReader(UnsafeRawBufferPointer(rebasing: message.dropFirst()))
        switch type {
        case 51:
            guard let names = reader.text(), let partial = reader.byte() else { return }
            methods = names.split(separator: ",").map(String.init)
            refusals += 1
            if partial != 0 { wantsMore = true }
        case 91:
            opened = reader.number()
        case 92:
            guard reader.number() != nil, let code = reader.number(), let text = reader.text() else { return }
            refusal = text.isEmpty ? "reason \(code)" : text
        case 98:
            guard let channel = reader.number(), let entry = statuses[channel], entry == nil,
                reader.text() == "exit-status", reader.byte() != nil, let status = reader.number()
            else { return }
            statuses[channel] = .some(status)
        default:
            return
        }
    }
}
