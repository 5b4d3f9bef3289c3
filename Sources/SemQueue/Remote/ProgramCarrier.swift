internal import CSemQueue
internal import Glibc

/// A program that carries a link: `ssh`, or this one as `semq link`.
final class ProgramCarrier: LinkCarrier {
    private let pid: Int32
    private var status: Int32?
    /// For a program that may ask at the terminal.
    private let turn: TerminalTurn?

    /// Signals to the whole group are for the command that runs here, not for those who carry its lease: they end
    /// with their stream, when the last word has been said.
    private static let ignored = [SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP]

    /// - Parameter mayAsk: at the terminal.
    /// - Throws: ``SemaphoreError`` with code `unreachable` when the program can't be started.
    init(_ words: [String], _ ends: Link.Ends, _ host: String, mayAsk: Bool) throws(SemaphoreError) {
        let isOurs = words[0] == LinkProcess.program[0]
        turn = mayAsk ? TerminalTurn() : nil
        // What ps(1) shows.
        var shown = isOurs ? ["semq"] + words.dropFirst() : words
        if isOurs, turn != nil { shown.insert(LinkProcess.inTurn, at: LinkProcess.program.count) }
        var arguments = shown.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        Carriers.bury()
        // Another one that asks must stop with us: one that reads on would take what is typed for the shell.
        let ignored = Self.ignored.filter { $0 != SIGTSTP || isOurs || !mayAsk }
        var pid: Int32 = 0
        let error = semq_spawn(
            &pid, words[0], &arguments, ends.input.far, ends.output.far, ends.errors.far,
            isOurs ? turn?.descriptor ?? -1 : -1, ignored, Int32(ignored.count))
        ends.closeFar()
        guard error == 0 else {
            ends.closeNear()
            throw SemaphoreError(
                .unreachable,
                "\(host): can't start \(words[0]): \(String(cString: strerror(error)))"
                    + (error == ENOENT ? "; is it installed and in PATH?" : ""), systemError: error)
        }
        self.pid = pid
        // Nobody knows whether another one asks, nor when: it has the turn until it is answered, or none.
        if !isOurs { turn?.begin(pid) }
        Carriers.pids.withLock { $0.append((getpid(), pid)) }
    }

    deinit { if !hasEnded() { Carriers.outlived(pid) } }

    /// Whether the program has ended. Its end can be learnt once only, by whoever is its parent.
    private func hasEnded() -> Bool {
        var found: Int32 = 0
        guard status == nil else { return true }
        let result = waitpid(pid, &found, WNOHANG)
        if result == pid { status = found }
        guard result != 0 else { return false }
        Carriers.pids.withLock { pids in pids.removeAll { $0.pid == pid } }
        // One that was not killed has put the terminal back itself.
        turn?.giveBack(of: pid, restoring: result == pid && found & 0x7f != 0)
        return true
    }

    func exitCode(within limit: Duration) -> Int32? {
        let end = Duration.monotonic() + limit
        while !hasEnded(), Duration.monotonic() < end {
            var pause = timespec(tv_sec: 0, tv_nsec: 2_000_000)
            nanosleep(&pause, nil)
        }
        guard let status, status & 0x7f == 0 else { return nil }
        return status >> 8 & 0xff
    }

    func kill() {
        guard !hasEnded() else { return }
        Glibc.kill(pid, SIGKILL)
        _ = exitCode(within: .milliseconds(200))
        // What it does to the terminal must be over before that is put back.
        if TerminalTurn.holder == pid { _ = exitCode(within: .seconds(5)) }
    }

    func hasAnswered() { turn?.giveBack(of: pid, restoring: false) }

    var mayBeHeldUp: Bool { turn != nil && ![0, pid].contains(TerminalTurn.holder) }
}

/// The programs that carry this process's links: they are no part of the work that is done under a permit.
package enum Carriers {
    /// Each with the process whose child it is: a forked process's it is not.
    fileprivate static let pids = Guarded<[(owner: Int32, pid: Int32)]>([])

    package static var all: [Int32] {
        pids.withLock { $0.filter { $0.owner == getpid() }.map(\.pid) }
    }

    /// Ctrl-Z stops one that may ask together with us, also when it no longer does. Where we go on, so must it.
    package static func goOn() { for pid in all { kill(pid, SIGCONT) } }

    /// Those that nobody waits for any more: on a busy machine even a killed process takes its time to die.
    private static let dying = Guarded<[(owner: Int32, pid: Int32)]>([])

    fileprivate static func outlived(_ pid: Int32) { dying.withLock { $0.append((getpid(), pid)) } }

    /// Learns the end of those that have ended since, or they would stay in the table of processes.
    fileprivate static func bury() {
        dying.withLock { dying in
            dying.removeAll { $0.owner != getpid() || waitpid($0.pid, nil, WNOHANG) != 0 }
        }
    }
}
