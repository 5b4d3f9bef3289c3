internal import Glibc

/// The agent that keeps keys (draft-miller-ssh-agent): lists them, and signs with them.
///
/// Spoken to here and not through libssh2, whose calls block for as long as the agent pleases.
final class Agent {
    enum Failure: Error, Hashable {
        /// Nobody listens there.
        case absent(Int32)
        case timedOut
        case cancelled
        /// It hung up, or said something else.
        case broken
        /// It has the key, and won't sign.
        case refused
    }

    private let socket: Int32
    private let cancellation: SSHCancellation

    /// More than any agent has to say.
    private static let limit = 1 << 20

    init(path: String, cancellation: SSHCancellation) throws(Failure) {
        self.cancellation = cancellation
        socket = Glibc.socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard socket >= 0 else { throw .absent(errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else { throw .absent(ENAMETOOLONG) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // A full queue of an agent that accepts nobody is EAGAIN here.
        guard result == 0 else { throw errno == EAGAIN ? .timedOut : .absent(errno) }
    }

    deinit { close(socket) }

    /// The keys that it has, in its order.
    func keys(until deadline: Deadline) throws(Failure) -> [(blob: [UInt8], comment: String)] {
        let answer = try ask([11], until: deadline)
        guard answer.first == 12 else { throw .broken }
        var reader = SSHReader(answer.dropFirst())
        guard let count = reader.integer() else { throw .broken }
        var keys: [(blob: [UInt8], comment: String)] = []
        for _ in 0..<min(count, 2048) {
            guard let blob = reader.string(), let comment = reader.string() else { throw .broken }
            keys.append((Array(blob), String(decoding: comment, as: UTF8.self)))
        }
        return keys
    }

    /// Signs with a key that is neither RSA nor in hardware.
    /// - Returns: the signature without the name of its method.
    func sign(_ data: UnsafeRawBufferPointer, with blob: [UInt8], until deadline: Deadline) throws(Failure) -> [UInt8] {
        var request: [UInt8] = [13]
        request.append(sshBytes: blob)
        request.append(sshBytes: data)
        request.append(sshNumber: 0)
        let answer = try ask(request, until: deadline)
        guard answer.first == 14 else { throw answer.first == 5 ? .refused : .broken }
        var reader = SSHReader(answer.dropFirst())
        guard let signature = reader.string() else { throw .broken }
        var inner = SSHReader(signature)
        guard inner.string() != nil, let bytes = inner.string() else { throw .broken }
        return Array(bytes)
    }

    private func ask(_ message: [UInt8], until deadline: Deadline) throws(Failure) -> [UInt8] {
        var request: [UInt8] = []
        request.append(sshBytes: message)
        try send(request, until: deadline)
        let head = try receive(4, until: deadline)
        var reader = SSHReader(head[...])
        guard let length = reader.integer(), (1...UInt32(Agent.limit)).contains(length) else { throw .broken }
        return try receive(Int(length), until: deadline)
    }

    private func send(_ bytes: [UInt8], until deadline: Deadline) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent > 0 {
                rest = rest.dropFirst(sent)
            } else if errno == EAGAIN {
                try wait(for: Int16(POLLOUT), until: deadline)
            } else if errno != EINTR {
                throw .broken
            }
        }
    }

    private func receive(_ count: Int, until deadline: Deadline) throws(Failure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var used = 0
        while used < count {
            let length = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + used, count - used, 0) }
            if length > 0 {
                used += length
            } else if length < 0, errno == EAGAIN {
                try wait(for: Int16(POLLIN), until: deadline)
            } else if length == 0 || errno != EINTR {
                throw .broken
            }
        }
        return bytes
    }

    private func wait(for events: Int16, until deadline: Deadline) throws(Failure) {
        var entries = [
            pollfd(fd: socket, events: events, revents: 0),
            pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        poll(&entries, 2, deadline.milliseconds)
        if entries[1].revents != 0 { throw .cancelled }
        if entries[0].revents == 0, deadline.hasPassed { throw .timedOut }
    }
}
