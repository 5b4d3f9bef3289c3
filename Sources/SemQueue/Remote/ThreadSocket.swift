internal import Glibc

/// How a thread that may block is asked for something by one that must not: packets, of which each is an order or its
/// answer.
enum ThreadSocket {
    /// A message's body and what stands before it.
    private static let longest = Message.longestBody + 16

    /// Starts a thread that lasts until the process ends, or the other end is closed.
    /// - Parameter body: is given the thread's end.
    /// - Returns: the caller's end.
    /// - Throws: ``SemaphoreError`` with code `io`.
    static func start(_ body: @escaping @Sendable (Int32) -> Void) throws(SemaphoreError) -> Int32 {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | O_CLOEXEC, 0, &ends) == 0 else {
            throw SemaphoreError(
                .io, "can't make a stream: \(String(cString: strerror(errno)))", systemError: errno)
        }
        let (near, far) = (ends[0], ends[1])
        do throws(SemaphoreError) {
            try BlockingThread.start {
                body(far)
                close(far)
            }.detach()
        } catch {
            for end in ends { close(end) }
            throw error
        }
        return near
    }

    // MARK: for the one that must not block

    static func send(_ packet: [UInt8], to socket: Int32) -> Bool {
        Glibc.send(socket, packet, packet.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL)) == packet.count
    }

    /// - Returns: nil when nothing has come yet; empty at the end.
    static func receive(from socket: Int32) -> [UInt8]? {
        var packet = [UInt8](repeating: 0, count: longest)
        let count = recv(socket, &packet, packet.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return nil }
        return Array(packet[..<max(0, count)])
    }

    // MARK: for the thread

    /// - Returns: nil when nobody asks any more.
    static func await(from socket: Int32) -> [UInt8]? {
        var packet = [UInt8](repeating: 0, count: longest)
        var count: Int
        repeat { count = recv(socket, &packet, packet.count, 0) } while count < 0 && errno == EINTR
        return count > 0 ? Array(packet[..<count]) : nil
    }

    /// - Returns: false when nobody takes it any more.
    static func deliver(_ packet: [UInt8], to socket: Int32) -> Bool {
        Glibc.send(socket, packet, packet.count, Int32(MSG_NOSIGNAL)) == packet.count
    }
}
