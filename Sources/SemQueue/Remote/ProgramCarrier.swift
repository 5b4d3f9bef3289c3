internal import CSemQueue
internal import Glibc

/// A program that carries a link: `ssh`, or this one as `semq link`.
final class ProgramCarrier: LinkCarrier {
    private let program: Carriers.Program
    private var pid: Int32 { program.pid }
    /// For a program that may ask at the terminal.
    private let turn: TerminalTurn?

    /// Signals to the whole group are for the command that runs here, not for those who carry its lease: they end
    /// with their stream, when the last word has been said. Only one that may ask stands where the terminal's come; from
    /// another, `ssh` has to be able to end the one that it has started for a jump host, by a SIGHUP that isn't ignored.
    private static let ignored = [SIGINT, SIGQUIT, SIGTERM]
    private static let ignoredAtTerminal = [SIGHUP, SIGTSTP]

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
        // Another one that asks must stop with us: one that reads on would take what is typed for the shell.
        let ignored = Self.ignored + (mayAsk ? Self.ignoredAtTerminal.filter { $0 != SIGTSTP || isOurs } : [])
        var started: Carriers.Program?
        let descriptor = isOurs ? turn?.descriptor ?? -1 : -1
        let error = Carriers.start(leads: !mayAsk, &started) { link, mark, isKept in
            semq_spawn_link(
                &link, words[0], &arguments, mark, !mayAsk, isKept, ends.input.far, ends.output.far, ends.errors.far,
                descriptor, ignored, Int32(ignored.count))
        }
        ends.closeFar()
        guard error == 0, let started else {
            ends.closeNear()
            throw SemaphoreError(
                .unreachable,
                "\(host): can't start \(words[0]): \(String(cString: strerror(error)))"
                    + (error == ENOENT ? "; is it installed and in PATH?" : ""), systemError: error)
        }
        program = started
        // Nobody knows whether another one asks, nor when: it has the turn until it is answered, or none.
        if !isOurs { turn?.begin(started.pid) }
    }

    /// On a busy machine even a killed process takes its time to die. Its end is learnt when another one is started.
    deinit { _ = hasEnded() }

    private func hasEnded() -> Bool {
        guard let end = Carriers.end(of: program) else { return false }
        // One that was not killed has put the terminal back itself.
        turn?.giveBack(of: pid, restoring: end.status.map { $0 & 0x7f != 0 } ?? false)
        return true
    }

    func exitCode(within limit: Duration) -> Int32? {
        let end = Duration.monotonic() + limit
        while !hasEnded(), Duration.monotonic() < end {
            var pause = timespec(tv_sec: 0, tv_nsec: 2_000_000)
            nanosleep(&pause, nil)
        }
        guard let status = Carriers.end(of: program)?.status, status & 0x7f == 0 else { return nil }
        return status >> 8 & 0xff
    }

    func kill() {
        guard !hasEnded() else { return }
        Carriers.kill(program)
        _ = exitCode(within: .milliseconds(200))
        // What it does to the terminal must be over before that is put back.
        if TerminalTurn.holder == pid { _ = exitCode(within: .seconds(5)) }
    }

    func hasAnswered() { turn?.giveBack(of: pid, restoring: false) }

    var mayBeHeldUp: Bool { turn != nil && ![0, pid].contains(TerminalTurn.holder) }
}
