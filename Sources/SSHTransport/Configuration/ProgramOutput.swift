internal import Glibc

/// What a short-lived program printed, and how it ended.
package struct ProgramOutput: Equatable {
    package enum Failure: Error, Equatable {
        /// There is no such program in PATH.
        case notFound
        case timedOut
        /// A system call's error number.
        case system(Int32)
    }

    package var out: String
    package var err: String
    /// The exit status; nil if a signal ended it, or if somebody else reaps this program's children.
    package var status: Int32?

    /// - Parameters:
    ///   - words: the program, looked up in PATH, and its arguments.
    ///   - limit: when it is killed, with what it started.
    package static func of(_ words: [String], limit: Duration) throws(Failure) -> ProgramOutput {
        let deadline = Deadline.after(limit)
        var (out, err) = (try Pipe(), try Pipe())
        defer {
            out.close()
            err.close()
        }
        let child = try start(words, out: out.input, err: err.input)
        out.closeInput()
        err.closeInput()
        var isReaped = false
        defer {
            // Also what it left behind in its group.
            if !isReaped {
                kill(-child, SIGKILL)
                while waitpid(child, nil, 0) < 0, errno == EINTR {}
            }
        }
        var pause: Int32 = 1
        while true {
            var status: Int32 = 0
            let result = waitpid(child, &status, WNOHANG)
            if result == child || result < 0 && errno == ECHILD {
                isReaped = true
                out.drain()
                err.drain()
                return ProgramOutput(
                    out: String(decoding: out.bytes, as: UTF8.self), err: String(decoding: err.bytes, as: UTF8.self),
                    status: result == child && status & 0x7F == 0 ? status >> 8 & 0xFF : nil)
            }
            if deadline.hasPassed { throw .timedOut }
            // Output wakes this at once. The end is looked for now and then: a grandchild may keep the pipes.
            var polled = [out.polled, err.polled]
            poll(&polled, nfds_t(polled.count), pause)
            out.drain()
            err.drain()
            pause = out.isOver && err.isOver ? 1 : min(pause * 2, 50)
        }
    }

    private static func start(_ words: [String], out: Int32, err: Int32) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, out, 1)
        posix_spawn_file_actions_adddup2(&actions, err, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child: pid_t = 0
        let error = posix_spawnp(&child, arguments[0]!, &actions, &attributes, &arguments, environ)
        switch error {
        case 0: return child
        case ENOENT, ENOTDIR: throw .notFound
        default: throw .system(error)
        }
    }

    /// A pipe to read from without blocking (of sockets: Glibc's module has no pipe2(2)). Its ends are no standard
    /// descriptors, even if those were closed.
    private struct Pipe {
        private let output: Int32
        private(set) var input: Int32
        private(set) var bytes: [UInt8] = []
        private(set) var isOver = false
        /// More is dropped.
        private static let limit = 1 << 20

        init() throws(Failure) {
            var ends: [Int32] = [-1, -1]
            let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw .system(errno) }
            let moved = ends.map { fcntl($0, F_DUPFD_CLOEXEC, 3) }
            let number = errno
            for end in ends { Glibc.close(end) }
            (output, input) = (moved[0], moved[1])
            guard output >= 0, input >= 0 else {
                close()
                throw .system(number)
            }
            _ = fcntl(output, F_SETFL, O_NONBLOCK)
        }

        /// A negative descriptor is none to poll(2).
        var polled: pollfd { pollfd(fd: isOver ? -1 : output, events: Int16(POLLIN), revents: 0) }

        mutating func drain() {
            var buffer = [UInt8](repeating: 0, count: 16 << 10)
            while !isOver {
                let count = read(output, &buffer, buffer.count)
                if count < 0 { break }
                isOver = count == 0
                bytes += buffer[..<min(count, Self.limit - bytes.count)]
            }
        }

        mutating func closeInput() {
            if input >= 0 { Glibc.close(input) }
            input = -1
        }

        mutating func close() {
            closeInput()
            if output >= 0 { Glibc.close(output) }
        }
    }
}
