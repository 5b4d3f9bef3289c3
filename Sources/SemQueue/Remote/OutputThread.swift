internal import Glibc

/// Standard output and error, written by a thread of its own, for a process that must never stand still: what poll(2) has
/// told of a pipe may be filled by another, and a terminal takes a part and lets the writer wait for the rest.
final class OutputThread {
    /// Readable when there is a ``result``.
    let descriptor: Int32
    /// Something is being written, or its result was not taken yet.
    private(set) var isWriting = false

    enum Result {
        case written, failed
    }

    /// - Throws: ``SemaphoreError`` where there is no room for a thread.
    init() throws(SemaphoreError) { descriptor = try ThreadSocket.start(Self.serve) }

    deinit { close(descriptor) }

    /// Writes all of it, unless something is being written.
    /// - Parameter bytes: no more than a message carries.
    func write(_ bytes: [UInt8], to stream: Int32) {
        guard !isWriting else { return }
        isWriting = ThreadSocket.send([UInt8(stream)] + bytes, to: descriptor)
    }

    /// What has become of what was written last, or nil as long as it is being written.
    var result: Result? {
        guard isWriting, let answer = ThreadSocket.receive(from: descriptor) else { return nil }
        isWriting = false
        return answer == [1] ? .written : .failed
    }

    // MARK: the thread

    private static func serve(_ socket: Int32) {
        while let order = ThreadSocket.await(from: socket), let stream = order.first {
            guard ThreadSocket.deliver([writeAll(order.dropFirst(), to: Int32(stream)) ? 1 : 0], to: socket) else {
                return
            }
        }
    }

    private static func writeAll(_ bytes: ArraySlice<UInt8>, to stream: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(stream, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                // Whoever shares it has made it so.
                var event = pollfd(fd: stream, events: Int16(POLLOUT), revents: 0)
                poll(&event, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}
