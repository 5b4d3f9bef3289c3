internal import CSemQueue
internal import Glibc
internal import SemQueue

/// `semq` as the shell sees it while the command runs: gets the signals, stops when the command stops,
/// ends as the command ended.
struct Front {
    let page: SharedPage
    let guardian: Int32
    let permits: Permits
    let end: TurnEnd
    let name: String

    func run() -> ExitCode {
        semq_waiting_end()
        // The command alone decides when its input and output are closed.
        StandardDescriptors.release([STDIN_FILENO, STDOUT_FILENO])
        var announcements = Announcements(page: page)
        var guardianState = GuardianState.lives
        var stops = Stops()
        var endIsSeen = false
        while true {
            guardianState = lookAtGuardian()
            guard guardianState == .lives else { break }
            guard let received = Signals.next(Signals.supervised, within: .seconds(3600)) else { continue }
            switch received.signal {
            case Signals.alarm:
                announcements.tell()
                if page.commandHasEnded, !endIsSeen {
                    // The kernel sends Ctrl-C to the whole group before any of it can end of it: one that has come
                    // before the end is known is the command's.
                    while let received = Signals.next(Signals.interrupting, within: .zero) {
                        forward(received, &stops, hasEnded: false)
                    }
                    endIsSeen = true
                }
                // Of pending signals the lowest number is taken first, so all that end a command were before this one.
                if page.isAsked, !page.isAnswered {
                    page.isAnswered = true
                    kill(guardian, Signals.alarm)
                }
                // Somebody has a message for whoever holds, which is the guardian.
                if received.sender != guardian { kill(guardian, Signals.alarm) }
                if stopWithCommand() { stops.hasStopped = true }
            case SIGCHLD: break
            case let signal where Signals.stopping.contains(signal) && page.commandHasEnded && !received.fromProcess:
                stopAlone(signal)
            default:
                if Signals.stopping.contains(received.signal) { Carriers.goOn() }
                stops.take(received.signal)
                // From the terminal the command has got it too; when it has stopped, the guardian says so.
                if received.sender != guardian { forward(received, &stops, hasEnded: endIsSeen) }
                if received.signal == SIGCONT { stops.hasStopped = false }
            }
        }
        if guardianState == .wasKilled {
            // Its orphans are our children now, and whatever it had left to do is ours.
            for grant in permits.grants { grant.takeOver() }
            var supervisor = Supervisor(
                page: page, permits: permits, end: end,
                stateChanged: { stop in
                    page.commandStop = stop ?? 0
                    _ = stopWithCommand()
                }, hasNews: { announcements.tell() })
            supervisor.endIsSeen = endIsSeen
            supervisor.stopsTaken = stops.taken
            supervisor.passForwarded(except: stops.takenBack)
            supervisor.run()
        }
        announcements.tell()
        return exitCode()
    }

    private struct Stops {
        /// The next SIGCONT is the one that ended our own stop.
        var hasStopped = false
        /// Those that have come, from the terminal too, since the last SIGCONT, and when.
        private(set) var taken: [Int32: Duration] = [:]
        /// Of the stops and the SIGCONT that were handed on to the guardian, those that none of the other kind was handed on
        /// after: it takes back, in the kernel, one that the guardian hasn't passed on yet.
        private var handedOn: Set<Int32> = []

        /// A stop was handed on, and no SIGCONT since.
        var isHandedOn: Bool { !handedOn.isDisjoint(with: Signals.stopping) }

        var takenBack: [Int32] { (Signals.stopping + [SIGCONT]).filter { !handedOn.contains($0) } }

        mutating func take(_ signal: Int32) {
            if signal == SIGCONT { taken = [:] }
            if Signals.stopping.contains(signal) { taken[signal] = .sinceBoot() }
        }

        mutating func handOn(_ signal: Int32) {
            if signal == SIGCONT { handedOn = [SIGCONT] }
            guard Signals.stopping.contains(signal) else { return }
            handedOn.remove(SIGCONT)
            handedOn.insert(signal)
        }
    }

    /// - Parameter hasEnded: the command has, and whatever comes from the terminal came after that.
    private func forward(_ received: Signals.Received, _ stops: inout Stops, hasEnded: Bool) {
        // A shell's `fg` has continued the command together with us. Continued once more, it would miss a Ctrl-Z
        // that has come since: then it is stopped again, and the terminal has stopped us with it. But a stop that was
        // handed on may come to it after that SIGCONT.
        if received.signal == SIGCONT {
            guard !stops.hasStopped || stops.isHandedOn || ProcessTree.isStopped(page.commandPid) != false,
                !Signals.isPending(Signals.stopping)
            else { return }
        }
        for signal in received.forCommand(hasEnded: hasEnded) {
            stops.handOn(signal)
            page.forwarded(signal).pointee.sent &+= 1
            kill(guardian, signal)
        }
    }

    private enum GuardianState {
        case lives
        /// It has given the permits back.
        case hasEnded
        case wasKilled
    }

    private func lookAtGuardian() -> GuardianState {
        var pid: Int32 = 0
        var kind: Int32 = 0
        var number: Int32 = 0
        var childless = false
        while semq_peek_child(&pid, &kind, &number, &childless) {
            // The command is our child only if its guardian is dead; its end is left to be learnt.
            guard pid != page.commandPid else { return .wasKilled }
            guard pid == guardian else {
                let isEnd = kind == SEMQ_EXITED || kind == SEMQ_SIGNALED
                if !isEnd || !Carriers.reap(pid) { semq_reap_child(pid, kind) }
                continue
            }
            // It has no business standing still.
            if kind == SEMQ_STOPPED { kill(guardian, SIGCONT) }
            semq_reap_child(pid, kind)
            if kind == SEMQ_EXITED { return .hasEnded }
            if kind == SEMQ_SIGNALED { return .wasKilled }
        }
        return childless ? .wasKilled : .lives
    }

    /// Stops this process, whose command has ended, as the terminal stops what is left of that.
    private func stopAlone(_ signal: Int32) {
        semq_signal_default(signal, false)
        Signals.unblock([signal])
        raise(signal)
        Signals.block([signal])
    }

    /// Stops this process as the command was stopped, until SIGCONT.
    /// - Returns: whether that SIGCONT is still to be taken.
    private func stopWithCommand() -> Bool {
        page.frontStops = true
        defer { page.frontStops = false }
        let signal = page.commandStop
        guard commandIsStopped else { return false }
        guard signal != SIGSTOP else {
            raise(SIGSTOP)
            return Signals.isPending([SIGCONT])
        }
        semq_signal_default(signal, false)
        raise(signal)  // blocked so far, and it has thrown a waiting SIGCONT away
        guard commandIsStopped else {
            _ = Signals.next([signal], within: .zero)
            return false
        }
        Signals.unblock([signal])
        Signals.block([signal])
        return Signals.isPending([SIGCONT])
    }

    /// It may have been continued since, of which the guardian has yet to learn.
    private var commandIsStopped: Bool {
        page.commandStop != 0 && !page.commandHasEnded && ProcessTree.isStopped(page.commandPid) != false
    }

    private func exitCode() -> ExitCode {
        switch page.outcome {
        case .exited(let code): return ExitCode(rawValue: code)
        case .signaled(let signal):
            OnBehalf.current?.tell(ofEnd: signal)
            semq_die_by(signal)
            return ExitCode(rawValue: 128 + signal)
        case .notExecuted(let error):
            Terminal.say(whyNotExecuted(error))
            return error == ENOENT ? .notFound : .cannotExecute
        case .lost: return .lost
        case .none:
            Terminal.say("the guardian was killed, and how the command ended is not known")
            return .io
        }
    }

    private func whyNotExecuted(_ error: Int32) -> String {
        let reason = String(cString: strerror(error))
        guard !name.isEmpty else { return "the command's name is empty" }
        let there = OnBehalf.current == nil ? "" : " there"
        guard name.contains("/") else {
            return "\(name): \(reason)\(error == ENOENT ? "; is it in PATH\(there)?" : "")"
        }
        var info = stat()
        guard stat(name, &info) == 0 else { return "\(name): \(reason)" }
        if info.st_mode & S_IFMT == S_IFDIR { return "\(name): is a folder, not a command" }
        guard error == ENOENT else { return "\(name): \(reason)" }
        return "\(name): \(reason); it is there, but what its first line or its header names to run it is not"
    }

    /// Says what the guardian puts on the page.
    private struct Announcements {
        let page: SharedPage
        private var newsTold = 0
        private var lossIsTold = false

        init(page: SharedPage) { self.page = page }

        /// The news since, and once why the permit is gone.
        mutating func tell() {
            // Asked first: the news of before the loss are all there then, and are told before it.
            let isLost = page.outcome == .lost
            let (count, lines) = page.news
            for line in lines.suffix(count - newsTold) { Terminal.say(line) }
            newsTold = count
            guard isLost, !lossIsTold else { return }
            lossIsTold = true
            Terminal.say("\(page.message); the command is told to end")
        }
    }
}
