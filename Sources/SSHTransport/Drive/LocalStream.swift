internal import Glibc

/// A descriptor of this side that a channel is connected to, read or written without ever blocking.
///
/// Whoever shares its description (a terminal, a pipe of the shell's) must not find it non-blocking, so a pipe or
/// terminal is opened once more through /proc for that; where that can't be done it is polled before each call.
final class LocalStream {
    enum Direction { case reading, writing }
    enum Outcome: Equatable {
        case bytes(Int)
        /// Nothing just now.
        case later
        /// The end of the input (0), or why it can't be read or written.
        case over(Int32)
    }

    private enum Kind {
        case socket
        case plain
        /// It may block: asked first, and only for as much as surely goes.
        case blocking
    }

    let descriptor: Int32
    private let kind: Kind
    var isSocket: Bool { kind == .socket }
    /// It may be worth a try; poll(2) tells anew.
    var isReady = true

    /// Takes the descriptor over.
    init(_ descriptor: Int32, _ direction: Direction) {
        var about = stat()
        fstat(descriptor, &about)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        let flags = fcntl(descriptor, F_GETFL)
        switch about.st_mode & S_IFMT {
        case S_IFSOCK:
            (self.descriptor, kind) = (descriptor, .socket)
        case S_IFREG, S_IFBLK:
            (self.descriptor, kind) = (descriptor, .plain)
        case _ where flags & O_NONBLOCK != 0:
            (self.descriptor, kind) = (descriptor, .plain)
        default:
            let mode = direction == .reading ? O_RDONLY : O_WRONLY
            let own = open("/proc/self/fd/\(descriptor)", mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
            if own >= 0 {
                Glibc.close(descriptor)
                (self.descriptor, kind) = (own, .plain)
            } else {
                (self.descriptor, kind) = (descriptor, .blocking)
            }
        }
    }

    deinit { close(descriptor) }

    func read(into room: UnsafeMutableRawBufferPointer) -> Outcome {
        while true {
            let count: Int
            switch kind {
            case .socket: count = recv(descriptor, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            case .plain: count = Glibc.read(descriptor, room.baseAddress, room.count)
            case .blocking:
                guard canGoOn(Int16(POLLIN)) else { return later() }
                count = Glibc.read(descriptor, room.baseAddress, room.count)
            }
            if count > 0 { return .bytes(count) }
            if count == 0 { return .over(0) }
            if errno == EAGAIN { return later() }
            if errno != EINTR { return .over(errno) }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        while true {
            let count: Int
            switch kind {
            case .socket:
                count = send(
                    descriptor, bytes.baseAddress, bytes.count,
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            case .plain: count = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            case .blocking:
                // A pipe that is writable has room for one page.
                guard canGoOn(Int16(POLLOUT)) else { return later() }
                count = Glibc.write(descriptor, bytes.baseAddress, min(bytes.count, 4096))
            }
            if count >= 0 { return .bytes(count) }
            if errno == EAGAIN { return later() }
            if errno != EINTR { return .over(errno) }
        }
    }

    private func later() -> Outcome {
        isReady = false
        return .later
    }

    private func canGoOn(_ events: Int16) -> Bool {
        var entry = pollfd(fd: descriptor, events: events, revents: 0)
        return poll(&entry, 1, 0) > 0
    }
}
