internal import CSemQueue
internal import Glibc

/// The turn to ask at the terminal. One of the programs that carry this process's links has it at a time, and nothing
/// else is written there meanwhile. Whoever has it may be killed in the middle, by us or by others: then the terminal
/// is put back in its place.
///
/// The turn is a lock, on a description that this process shares with one such program. So it stays with us, when that
/// is dead, until all is in order again.
package final class TerminalTurn: Sendable {
    private let share: Guarded<Int32>

    /// From now on programs ask in turn. For a program, not for a library: deadly signals are caught.
    package static func prepare() { semq_turn_make() }

    /// A share for one program; nil where nothing was prepared.
    init?() {
        guard semq_turn_memory() >= 0 else { return nil }
        let descriptor = open("/proc/self/fd/\(semq_turn_memory())", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        share = Guarded(descriptor)
    }

    /// The share that this program was given.
    init?(handedDown descriptor: Int32) {
        guard semq_turn_join(descriptor) else { return nil }
        // Not for a program that is started to ask.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        share = Guarded(descriptor)
    }

    deinit { close() }

    /// −1 once it was given back.
    var descriptor: Int32 { share.withLock(\.self) }

    /// The process that has the turn, or 0.
    static var holder: Int32 { semq_turn_holder() }

    /// Somebody is being asked.
    package static var isTaken: Bool { holder != 0 }

    // MARK: whoever asks

    /// Waits for the turn, which this process has from then on.
    /// - Parameter isGivenUp: looked at now and then.
    /// - Returns: false if given up.
    func take(unless isGivenUp: () -> Bool) -> Bool {
        guard Self.holder != getpid() else { return true }
        while !begin(getpid()) {
            guard !isGivenUp() else { return false }
            usleep(50_000)
        }
        return true
    }

    /// Takes the turn for a process, unless another has it.
    @discardableResult
    func begin(_ pid: Int32) -> Bool {
        guard semq_lock(descriptor, SEMQ_WRITE, 0, 1, false) == 0 else { return false }
        semq_turn_begin(pid)
        return true
    }

    /// - Parameter restoring: it has died, and nobody but us can put the terminal back.
    func giveBack(of pid: Int32, restoring: Bool) {
        if restoring { semq_turn_restore(pid) } else { semq_turn_end(pid) }
        _ = semq_lock(descriptor, SEMQ_UNLOCK, 0, 1, false)
        close()
    }

    private func close() {
        share.withLock { descriptor in
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }

    // MARK: this process

    /// A question of this process's own, when no program may ask.
    static func asking<Answer>(_ question: () -> Answer) -> Answer {
        semq_turn_begin(getpid())
        defer { semq_turn_end(getpid()) }
        return question()
    }

    /// Writes what must not come between a question and its answer, unless somebody is being asked.
    /// - Parameter line: whether a line is there afterwards that is redrawn. Whoever asks clears it.
    /// - Returns: whether it was written.
    package static func write(leavingLine line: Bool, _ body: () -> Void) -> Bool {
        let memory = semq_turn_memory()
        guard memory < 0 || semq_lock(memory, SEMQ_WRITE, 0, 1, false) == 0 else { return false }
        body()
        semq_turn_line(line)
        if memory >= 0 { _ = semq_lock(memory, SEMQ_UNLOCK, 0, 1, false) }
        return true
    }
}

/// Watches whether whoever has the other end of a stream is still there.
struct HangUpWatch {
    private let alarm = Alarm()
    private let thread: BlockingThread?

    init(_ descriptor: Int32, _ action: @escaping @Sendable () -> Void) {
        thread = try? BlockingThread.start { [alarm] in
            while !alarm.isRung {
                var entry = pollfd(fd: descriptor, events: 0, revents: 0)
                awaitDescriptors([entry], alarm, .seconds(3600))
                if poll(&entry, 1, 0) > 0 { return action() }
            }
        }
    }

    func end() {
        alarm.ring()
        thread?.join()
    }
}
