internal import CSemQueue
internal import Glibc

/// A pair of descriptors that carries messages, neither of which ever blocks.
final class Stream {
    let input: Int32
    let output: Int32
    private var reader = MessageReader()
    private var outgoing: [UInt8] = []
    private var putBack: Message?
    private(set) var isClosed = false

    /// Whoever doesn't read what was sent to it is given up.
    private static let longestQueue = 1 << 20

    /// Takes over the descriptors, which may be the same.
    init(input: Int32, output: Int32) {
        self.input = input
        self.output = output
        for descriptor in [input, output] {
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        }
    }

    deinit { close() }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        Glibc.close(input)
        if output != input { Glibc.close(output) }
    }

    // MARK: sending

    func send(_ message: Message) { send(message.bytes) }

    func send(_ bytes: [UInt8]) {
        guard !isClosed else { return }
        outgoing += bytes
        flush()
        if outgoing.count > Self.longestQueue { close() }
    }

    /// Bytes that the other side has not taken yet.
    var unsent: Int { outgoing.count }

    var hasUnsent: Bool { !outgoing.isEmpty && !isClosed }

    /// Writes as much as the other side takes just now. A broken stream shows when it is read.
    func flush() {
        while hasUnsent {
            let count = outgoing.withUnsafeBytes { transfer($0) }
            if count > 0 { outgoing.removeFirst(count) }
            guard count > 0 || (count < 0 && errno == EINTR) else {
                if count < 0, errno != EAGAIN { outgoing = [] }
                return
            }
        }
    }

    /// As write(2), without SIGPIPE: a guardian must outlive its link. An agent's pipe has no such flag, and the agent
    /// ignores the signal.
    private func transfer(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = Glibc.send(output, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        return count < 0 && errno == ENOTSOCK ? write(output, bytes.baseAddress, bytes.count) : count
    }

    // MARK: receiving

    /// What has come, raw; empty when there is nothing just now, nil at the end.
    func read() -> ArraySlice<UInt8>? {
        guard !isClosed else { return nil }
        var buffer = [UInt8](repeating: 0, count: 32 << 10)
        while true {
            let count = Glibc.read(input, &buffer, buffer.count)
            if count > 0 { return buffer[..<count] }
            if count == 0 { return nil }
            if errno == EAGAIN { return [] }
            guard errno == EINTR else { return nil }
        }
    }

    /// Bytes that were read and belong to messages.
    func take(_ bytes: ArraySlice<UInt8>) { reader.append(bytes) }

    /// The message that was received last is received once more, by whoever asks next.
    func putBack(_ message: Message) { putBack = message }

    /// The next message of what was taken.
    func next() throws(MessageReader.Garbage) -> Message? { try reader.next() }

    /// The next message, as far as one has come whole.
    enum Received {
        case message(Message)
        case nothing
        case end
        case garbage(MessageReader.Garbage)
    }

    func receive() -> Received {
        if let message = putBack {
            putBack = nil
            return .message(message)
        }
        while true {
            do throws(MessageReader.Garbage) {
                if let message = try reader.next() { return .message(message) }
            } catch {
                return .garbage(error)
            }
            guard let bytes = read() else { return .end }
            if bytes.isEmpty { return .nothing }
            reader.append(bytes)
        }
    }

    // MARK: waiting

    /// What to ask poll(2) for.
    var pollEvents: [pollfd] {
        guard !isClosed else { return [] }
        let wantsOut = hasUnsent
        if input == output {
            return [pollfd(fd: input, events: Int16(POLLIN | (wantsOut ? POLLOUT : 0)), revents: 0)]
        }
        return [pollfd(fd: input, events: Int16(POLLIN), revents: 0)]
            + (wantsOut ? [pollfd(fd: output, events: Int16(POLLOUT), revents: 0)] : [])
    }
}

/// Waits for any of the descriptors, at most `limit`.
/// - Returns: false when an alarm that was rung or nudged has ended the wait.
@discardableResult
func awaitDescriptors(_ events: [pollfd], _ alarm: Alarm, _ limit: Duration) -> Bool {
    var events = events
    let limit = max(.zero, min(limit, .seconds(3600)))
    let end = Duration.monotonic() + limit
    func attempt() -> Int32 {
        let error = semq_poll(&events, Int32(events.count), 0)
        return error == 0 && .monotonic() < end && events.allSatisfy { $0.revents == 0 } ? EAGAIN : error
    }
    return alarm.limiting(nil, instead: attempt) {
        semq_poll(&events, Int32(events.count), limit.nanoseconds)
    } == 0
}
