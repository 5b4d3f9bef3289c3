internal import CSemQueue
internal import Glibc
internal import SemQueue

/// A command that runs under permits.
///
/// Three processes: `semq` in front is what the shell sees. The guardian, in a process group of its
/// own, is the command's parent; it gives the permits back when the command ends, and lives on if
/// `semq` is killed. The command stands in the group that `semq` was given, so the terminal is its own.
/// All three have the permits' descriptors: the lock goes when the last of them does.
///
/// Guardian and command-to-be can be made while waiting at the head of the queue; then only an exec
/// stands between the grant and the command.
final class GuardedCommand {
    private let arguments: [Options.Word]
    private let inherited: InheritedSignals
    private let end: TurnEnd
    private var prepared: Prepared?

    private struct Prepared {
        var page: SharedPage
        /// Writing a byte starts the command; closing without one ends it unstarted.
        var go: Int32
        var guardian: Int32

        /// - Returns: false if the command-to-be was killed meanwhile.
        func start(_ start: SharedPage.Start) -> Bool {
            page.start = start
            guard GuardedCommand.send(go) else { return false }
            page.isRunning = true
            return true
        }
    }

    /// The permits to run under, and what the command is told of them.
    /// A class, because copying an optional structure of this kind costs the runtime's metadata in each process.
    final class Granted {
        let permits: Permits
        let start: SharedPage.Start

        init(permits: Permits, start: SharedPage.Start) { (self.permits, self.start) = (permits, start) }
    }

    /// - Parameter arguments: the command's name, looked for in PATH, and its arguments; not empty.
    init(_ arguments: [Options.Word], inherited: InheritedSignals, end: TurnEnd) {
        self.arguments = arguments
        self.inherited = inherited
        self.end = end
    }

    /// Forks guardian and command-to-be, to be started later. Does nothing if that has been done.
    /// - Parameter privateDescriptors: what neither of them may keep.
    /// - Throws: ``SemaphoreError`` where the system has no room for them.
    func prepare(privateDescriptors: [Int32] = []) throws(SemaphoreError) {
        guard prepared == nil else { return }
        defer { Signals.unblock(Signals.supervised.filter { $0 != SIGTSTP }) }
        prepared = try fork(nil, privateDescriptors: privateDescriptors)
    }

    /// Ends what was prepared: it has the descriptors of a queue file that was replaced meanwhile.
    func discard() {
        if let prepared { close(prepared.go) }
        prepared = nil
    }

    /// - Parameter granted: what the command is to run under, where that is known already: neither child
    ///   reads it back from the page then.
    private func fork(
        _ granted: Granted?, privateDescriptors: [Int32] = []
    ) throws(SemaphoreError) -> Prepared {
        var ends: [Int32] = [-1, -1]
        guard let page = SharedPage(), socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0, &ends) == 0
        else { throw Self.noRoom("memory or descriptors (ulimit -n)") }
        if let granted {
            page.start = granted.start
            _ = Self.send(ends[1])
        }
        let front = getpid()
        _ = semq_become_subreaper()
        // Both are born with the signals blocked that they wait for or leave to the command.
        Signals.block(Signals.supervised)
        let guardian = semq_fork()
        if guardian == 0 {
            close(ends[1])
            for descriptor in privateDescriptors { close(descriptor) }
            Guardian(page: page, go: ends[0], front: front, command: self, granted: granted, end: end).run()
        }
        let error = errno
        close(ends[0])
        guard guardian > 0 else {
            close(ends[1])
            errno = error
            throw Self.noRoom("processes (ulimit -u)")
        }
        return Prepared(page: page, go: ends[1], guardian: guardian)
    }

    /// A socket and not a pipe: a command-to-be that was killed meanwhile is an error, not a signal.
    private static func send(_ go: Int32) -> Bool {
        var byte: UInt8 = 1
        return Glibc.send(go, &byte, 1, Int32(MSG_NOSIGNAL)) == 1
    }

    /// Starts the command under the permits and stays until it has ended and they are given back.
    /// - Returns: the exit code to end with. Does not return where the command died of a signal: this
    ///   process then dies of the same.
    /// - Throws: ``SemaphoreError`` where the command can't be started; the permits are given back.
    func run(under permits: Permits, held: Nesting) throws(SemaphoreError) -> ExitCode {
        let start = SharedPage.Start(
            permits: permits.handover, environment: permits.environment(held: held), descriptors: permits.descriptors)
        // From here on a signal to us is one for the command.
        Signals.block(Signals.supervised)
        let running: Prepared
        if let prepared, prepared.start(start) {
            running = prepared
            // It waits for the start; after the command, which is in a hurry.
            kill(running.guardian, Signals.alarm)
        } else {
            do {
                running = try fork(Granted(permits: permits, start: start))
            } catch {
                permits.release()
                throw error
            }
        }
        close(running.go)
        return Front(
            page: running.page, guardian: running.guardian, permits: permits, end: end,
            name: String(cString: arguments[0])
        ).run()
    }

    /// The rest of the command-to-be's life as our program.
    func become(_ page: SharedPage, go: Int32, known: Granted?) -> Never {
        page.commandPid = getpid()
        // All that can be done before the grant is.
        var words = arguments.map { Optional($0) } + [nil]
        var byte: UInt8 = 0
        var count: Int
        repeat { count = read(go, &byte, 1) } while count < 0 && errno == EINTR
        guard count == 1, let start = known?.start ?? page.start else { _exit(0) }
        page.isRunning = true  // by whoever is first: semq may be killed before it can say so
        if let known, known.permits.areTooLate {
            page.message = "the lock was lost before the command could start"
            page.outcome = .lost
            _exit(1)
        }
        for (name, value) in start.environment { setenv(name, value, 1) }
        // High up, out of the way of scripts that number their own descriptors.
        for descriptor in start.descriptors where fcntl(descriptor, F_DUPFD, 100) < 0 {
            _ = fcntl(descriptor, F_DUPFD, 3)
        }
        inherited.restore()
        execvp(words[0]!, &words)
        page.outcome = .notExecuted(errno)
        _exit(127)
    }

    private static func noRoom(_ what: String) -> SemaphoreError {
        SemaphoreError(
            .io, "can't start the command: \(String(cString: strerror(errno))); no more \(what) to be had",
            systemError: errno)
    }
}
