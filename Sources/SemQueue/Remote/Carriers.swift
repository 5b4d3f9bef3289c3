internal import CSemQueue
internal import Glibc

/// The programs that carry this process's links: they are no part of the work that is done under a permit, and neither is
/// what they leave.
///
/// One that asks nobody has a session of its own, so that its whole group can be ended with it before its number is free.
/// One that may ask needs ours, which has the terminal. What makes itself a session (a master of `ssh`'s, which others
/// use too) is let alone. All bear a mark in their environment, by which it is known whose they are when their parent is
/// gone: we are a subreaper, to which such orphans are handed.
package enum Carriers {
    /// One of them.
    final class Program: @unchecked Sendable {
        /// Whose child it is: a forked process's it is not.
        fileprivate let owner = getpid()
        let pid: Int32
        fileprivate let leads: Bool
        // Touched under the lock.
        fileprivate var end: End?

        fileprivate init(pid: Int32, leads: Bool) { (self.pid, self.leads) = (pid, leads) }
    }

    struct End {
        /// As waitpid(2) tells it; nil where another process is told, or another part of this one was.
        var status: Int32?
    }

    private struct State {
        var running: [Program] = []
        /// `NAME=VALUE`; nil before the first of them. Forked processes have it too.
        var mark: String?
    }

    private static let state = Guarded(State())

    /// - Parameters:
    ///   - leads: a session of its own.
    ///   - spawn: sets the number; returns 0 or errno.
    /// - Returns: what that has returned.
    static func start(leads: Bool, _ program: inout Program?, _ spawn: (inout Int32, String) -> Int32) -> Int32 {
        // Locked until it bears the mark, and is known: nobody takes it for another in between.
        state.withLock { state in
            for program in state.running { learnEnd(of: program, &state) }
            let mark = state.mark ?? "SEMQ_LINK=\(getpid())-\(Duration.sinceBoot().nanoseconds)"
            state.mark = mark
            var pid: Int32 = 0
            let error = spawn(&pid, mark)
            guard error == 0 else { return error }
            let started = Program(pid: pid, leads: leads)
            state.running.append(started)
            program = started
            return 0
        }
    }

    // MARK: which there are

    package static var all: [Int32] {
        state.withLock { $0.running.filter { $0.owner == getpid() }.map(\.pid) }
    }

    /// Whether there have been any.
    package static var areKnown: Bool { state.withLock { $0.mark != nil } }

    /// Whether a process is one of them, or was started by one, however long ago.
    package static func areBehind(_ pid: Int32) -> Bool {
        guard let mark = state.withLock({ $0.mark }) else { return false }
        return semq_environment_has(pid, mark)
    }

    /// Ctrl-Z stops one that may ask together with us, also when it no longer does. Where we go on, so must it.
    package static func goOn() { for pid in all { Glibc.kill(pid, SIGCONT) } }

    // MARK: their ends

    /// Nil while it runs.
    static func end(of program: Program) -> End? {
        let (end, isNew) = state.withLock { state in
            let isNew = program.end == nil
            if isNew { learnEnd(of: program, &state) }
            return (program.end, isNew)
        }
        if isNew, end?.status != nil { tidy(after: program) }
        return end
    }

    static func awaitEnd(of program: Program) -> End? {
        semq_await_end(program.pid)
        return end(of: program)
    }

    /// Learns the end of a child that has ended, as others look for them too.
    /// - Returns: false where this is none of them.
    package static func reap(_ pid: Int32) -> Bool {
        let found = state.withLock { state in
            let found = state.running.first { $0.pid == pid && $0.owner == getpid() }
            if let found { learnEnd(of: found, &state) }
            return found
        }
        if let found { tidy(after: found) }
        return found != nil
    }

    /// Ends it with all that it has started, but for daemons.
    static func kill(_ program: Program) {
        state.withLock { _ in
            // From the moment on in which it is reaped its number may be another's.
            guard program.end == nil, program.owner == getpid() else { return }
            if !program.leads { ProcessTree.killBelow(program.pid) }
            Glibc.kill(program.leads ? -program.pid : program.pid, SIGKILL)
        }
    }

    /// An end can be learnt once only, and by its parent.
    private static func learnEnd(of program: Program, _ state: inout State) {
        var status: Int32 = 0
        let isOurs = program.owner == getpid()
        let result = isOurs ? semq_link_end(program.pid, program.leads, &status) : -1
        guard result != 0 else { return }
        program.end = End(status: result > 0 ? status : nil)
        state.running.removeAll { $0 === program }
    }

    private static func tidy(after program: Program) {
        if !program.leads { ProcessTree.killOrphansOfCarriers() }
    }
}
