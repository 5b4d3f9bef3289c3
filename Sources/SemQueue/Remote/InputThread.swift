internal import Glibc

/// Standard input, read by a thread of its own, for a process that must never stand still.
///
/// poll(2) is no promise: another process that has the same description may take the bytes that it told of, and then
/// read(2) waits for others. The description is not ours alone, so it can't be made O_NONBLOCK; preadv2(2) with RWF_NOWAIT
/// isn't known to terminals, nor to the pipes of older kernels.
final class InputThread {
    /// Readable when there is a ``part``.
    let descriptor: Int32
    private var isAsked = false
    private var hasEnded = false

    enum Part {
        case bytes([UInt8])
        case end
    }

    /// - Throws: ``SemaphoreError`` where there is no room for a thread.
    init() throws(SemaphoreError) { descriptor = try ThreadSocket.start(Self.serve) }

    deinit { close(descriptor) }

    /// Reads as much as there is, once; no more than that is taken from others who read here.
    func ask() {
        guard !isAsked, !hasEnded else { return }
        isAsked = ThreadSocket.send([1], to: descriptor)
    }

    /// What was read since it was asked, or nil.
    var part: Part? {
        guard isAsked, let bytes = ThreadSocket.receive(from: descriptor) else { return nil }
        isAsked = false
        hasEnded = bytes.isEmpty
        return bytes.isEmpty ? .end : .bytes(bytes)
    }

    // MARK: the thread

    private static func serve(_ socket: Int32) {
        while ThreadSocket.await(from: socket) != nil {
            let bytes = read()
            guard ThreadSocket.deliver(bytes, to: socket), !bytes.isEmpty else { return }
        }
    }

    private static let pause: UInt32 = 200_000  // microseconds

    /// - Returns: empty at the end.
    private static func read() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: Window.largestPart)
        var refusals = 0
        while true {
            var event = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if !isInBackground, poll(&event, 1, -1) < 0, errno != EINTR { return [] }
            // What is typed there is the shell's. Asked just before, for a shell takes its terminal back at any time.
            guard !isInBackground else {
                usleep(pause)
                continue
            }
            let count = Glibc.read(STDIN_FILENO, &buffer, buffer.count)
            if count >= 0 { return Array(buffer[..<count]) }
            switch errno {
            case EAGAIN, EINTR: break
            // With SIGTTIN blocked, as it is in this thread, the kernel says so where it would have stopped us.
            case EIO where refusals < 10 || isInBackground:
                refusals += 1
                usleep(pause)
            default: return []
            }
        }
    }

    /// Whether it is our terminal, and others have it just now.
    private static var isInBackground: Bool {
        let group = tcgetpgrp(STDIN_FILENO)
        return group >= 0 && group != getpgrp()
    }
}
