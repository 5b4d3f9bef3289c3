internal import CSemQueue
internal import Glibc

/// The programs that carry this process's links: they are no part of the work that is done under a permit, and neither is
/// what they leave.
///
/// One that asks nobody has a session of its own, so that its whole group can be ended with it before its number is free.
/// One that may ask needs ours, which has the terminal. What makes itself a session (a master of `ssh`'s, which others
/// use too) is let alone. Where a command is watched over, one that asks nobody is started below a keeper, a subreaper that
/// gets what it leaves: else we, a subreaper too, could not tell that from what the command has left. All bear a mark in
/// their environment as well, by which it is known whose they are where there is no keeper, as long as they don't write over
/// it, as such a master does.
package enum Carriers {
    /// One of them.
    final class Program: @unchecked Sendable {
        /// Whose child it is: a forked process's it is not.
        fileprivate let owner = getpid()
        var pid: Int32 { link.pid }
        fileprivate let link: semq_link
        fileprivate let leads: Bool
        // Touched under the lock.
        fileprivate var end: End?

        fileprivate init(_ link: semq_link, leads: Bool) { (self.link, self.leads) = (link, leads) }

        /// One that leads may be.
        fileprivate var isKept: Bool { link.keeper != 0 }
        /// The one that is a child of ours.
        fileprivate var child: Int32 { isKept ? link.keeper : link.pid }
    }

    struct End {
        /// As waitpid(2) tells it; nil where another process is told, or another part of this one was.
        var status: Int32?
    }

    private struct State {
        /// Whose child isn't reaped: with a keeper some may have ended.
        var running: [Program] = []
        var areKept = false
        /// `NAME=VALUE`; nil before the first of them. Forked processes have it too.
        var mark: String?
        /// How many are just being started.
        var underway = 0
        /// One of these takes too long to be waited for.
        var isGivenUp = false
    }

    private static let state = Guarded(State())

    /// From now on each that leads has a keeper, in processes that are forked from here on too: for a program that watches
    /// over a command's processes. One that may ask has us for its parent, with whom it stops; it is done before there
    /// is a command.
    package static func keep() {
        semq_keepers_prepare()
        state.withLock { $0.areKept = true }
    }

    /// - Parameters:
    ///   - leads: a session of its own.
    ///   - isAwaited: by ``awaitEnd(of:)``, so that it has to be a child of ours.
    ///   - spawn: sets what is started, with the mark, and with a keeper or not; returns 0 or errno.
    /// - Returns: what that has returned.
    static func start(
        leads: Bool, isAwaited: Bool = false, _ program: inout Program?,
        _ spawn: (inout semq_link, String, Bool) -> Int32
    ) -> Int32 {
        let (mark, areKept) = state.withLock { state in
            for program in state.running { learnEnd(of: program, &state) }
            let mark = state.mark ?? "SEMQ_LINK=\(getpid())-\(Duration.sinceBoot().nanoseconds)"
            state.mark = mark
            state.underway += 1
            return (mark, state.areKept)
        }
        var link = semq_link()
        let error = spawn(&link, mark, areKept && !isAwaited)
        return state.withLock { state in
            state.underway -= 1
            if state.underway == 0 { state.isGivenUp = false }
            guard error == 0 else { return error }
            let started = Program(link, leads: leads)
            state.running.append(started)
            program = started
            return 0
        }
    }

    /// Until each bears the mark, and is known: nobody takes it for another before. A program may lie where nothing can be
    /// read, and whoever has to end a command can't wait for that: then it may be taken for one of the command's.
    private static func settle() {
        let end = Duration.monotonic() + .milliseconds(100)
        func isSettled(_ state: inout State) -> Bool {
            if state.underway > 0, .monotonic() >= end { state.isGivenUp = true }
            return state.underway == 0 || state.isGivenUp
        }
        while !state.withLock({ isSettled(&$0) }) { usleep(200) }
    }

    // MARK: which there are

    /// Children of ours: they, or their keepers.
    package static var all: [Int32] {
        settle()
        return state.withLock { $0.running.filter { $0.owner == getpid() }.map(\.child) }
    }

    /// Whether there have been any.
    package static var areKnown: Bool { state.withLock { $0.mark != nil } }

    /// Whether a process is one of them or its keeper, or was started by one, however long ago. With a keeper that is killed
    /// goes the only one who knows of those that have written over their environment.
    package static func areBehind(_ pid: Int32) -> Bool {
        guard let mark = state.withLock({ $0.mark }) else { return semq_is_keeper(pid) }
        settle()
        return semq_is_keeper(pid) || semq_environment_has(pid, mark)
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
        settle()
        let found = state.withLock { state in
            let found = state.running.first { $0.child == pid && $0.owner == getpid() }
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
            if program.isKept {
                Glibc.kill(program.child, SIGUSR1)
            } else {
                if !program.leads { ProcessTree.killBelow(program.pid) }
                Glibc.kill(program.leads ? -program.pid : program.pid, SIGKILL)
            }
        }
    }

    /// An end can be learnt once only, and by its parent.
    private static func learnEnd(of program: Program, _ state: inout State) {
        var status: Int32 = 0
        let isOurs = program.owner == getpid()
        var isGone = true
        let result = withUnsafePointer(to: program.link) { link in
            isOurs ? semq_link_end(link, program.leads, &status, &isGone) : -1
        }
        if result != 0, program.end == nil { program.end = End(status: result > 0 ? status : nil) }
        if isGone { state.running.removeAll { $0 === program } }
    }

    private static func tidy(after program: Program) {
        if !program.leads, !program.isKept { ProcessTree.killOrphansOfCarriers() }
    }
}
