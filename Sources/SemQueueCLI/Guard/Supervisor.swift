internal import CSemQueue
internal import Glibc
internal import SemQueue

/// Watches over a running command and its permits, as its parent: the guardian does, and `semq` itself
/// where the guardian was killed.
struct Supervisor {
    let page: SharedPage
    let permits: Permits
    /// Told that the command has stopped (with the signal) or goes on (nil).
    let stateChanged: (Int32?) -> Void
    /// Told that the permit is gone, before the tree is ended, or that there is news on the page.
    let hasNews: () -> Void

    /// The process that the shell sees, `semq`: this one, or our parent for as long as that lives.
    var front = getpid()

    /// The command has ended, and all that was sent to it from the terminal has been taken.
    var endIsSeen = false

    /// The stops that have come to this process as `semq` since its last SIGCONT, and when: it stops with the command only
    /// by one of them. Where the command alone is stopped, it alone is continued, of which one that stands learns nothing.
    var stopsTaken: [Int32: Duration] = [:]

    /// The command, which gets it at the same time, stops of it soon, or ignores it.
    private func isTaken(_ stop: Int32) -> Bool {
        stopsTaken[stop].map { .sinceBoot() - $0 < .seconds(3) } ?? false
    }

    private let tells: Bool
    private var state: GuardState
    private var remains: Remains
    private var commandHasEnded = false
    /// A guardian was killed after the end had begun.
    private let takesOver: Bool
    /// The signal that the command stands stopped by.
    private var commandStop: Int32?
    private var commandIsStopped: Bool { commandStop != nil }
    /// Somebody was there to continue the command when it stopped.
    private var isContinuable = false

    init(
        page: SharedPage, permits: Permits, end: TurnEnd, stateChanged: @escaping (Int32?) -> Void,
        hasNews: @escaping () -> Void
    ) {
        self.page = page
        self.permits = permits
        tells = end.tells
        self.stateChanged = stateChanged
        self.hasNews = hasNews
        state = GuardState(
            until: end.until, grace: end.grace, isToldToEnd: page.isToldToEnd, isHungUp: page.isHungUp)
        remains = Remains(everySession: end.until == .tree)
        takesOver = page.outcome != .none
        // What a killed guardian has begun goes on from there.
        switch page.outcome {
        case .none: break
        case .lost: _ = state.handle(.lost(grace: .zero), at: .sinceBoot())
        case .exited, .signaled, .notExecuted: commandHasEnded = true
        }
        if page.commandHasEnded { commandHasEnded = true }
    }

    /// Returns when the turn is over, its outcome is on the page and the permits are given back.
    mutating func run() {
        permits.keep()
        learnStop()
        var nextInspection = Duration.sinceBoot() + .seconds(1)
        while true {
            // First, also where a killed guardian knew of the command's end: how it ended may not be on the page yet.
            if reap() == .finish { break }
            if commandHasEnded, !endIsSeen { seeEnd() }
            let now = Duration.sinceBoot()
            let limit = min(
                state.nextTick(at: now, hears: remains.areHeardOf), nextInspection - now, remains.untilTold(at: now),
                frontHasMissedIt ? .milliseconds(10) : .seconds(3600))
            if let received = Signals.next(Signals.supervised, within: max(.milliseconds(1), limit)) {
                take(received)
                if received.signal == Signals.alarm {
                    if page.isAnswered, handle(.answered) == .finish { break }
                    nextInspection = .zero
                }
            }
            if page.isAsked, !page.isAnswered, !isFrontThere, answer() == .finish { break }
            if handle(.tick) == .finish { break }
            if frontHasMissedIt { stateChanged(nil) }
            if Duration.sinceBoot() >= nextInspection {
                inspect()
                nextInspection = .sinceBoot() + .seconds(1)
                if isUnderPermit, let end = permits.standUntil { nextInspection = min(nextInspection, end) }
            }
            if isEnding, let killBy = permits.killBy, .sinceBoot() >= killBy { _ = handle(.lost(grace: .zero)) }
            tellOfRemains()
        }
        permits.release(mayBeDone: takesOver)
        tellNews()
    }

    /// The command, or what it has left, goes on under a permit that stands.
    private var isUnderPermit: Bool { state.phase == .running || state.phase == .staying }

    /// `semq` has been told that the command goes on just before it stopped with it: it is told again.
    private var frontHasMissedIt: Bool {
        !commandIsStopped && page.frontStops && (front == getpid() || isFrontThere)
    }

    private var isEnding: Bool {
        if case .ending = state.phase { true } else { false }
    }

    private var isFrontThere: Bool { front != getpid() && getppid() == front }

    /// In the place of a `semq` that is dead, or is this process: what it was told has come here by now.
    private mutating func answer() -> GuardState.Action {
        while let received = Signals.next(Signals.forwarded, within: .zero) { take(received) }
        page.isAnswered = true
        return handle(.answered)
    }

    private mutating func handle(_ event: GuardState.Event) -> GuardState.Action {
        perform(state.handle(event, at: .sinceBoot()))
    }

    // MARK: signals

    private mutating func take(_ received: Signals.Received) {
        guard received.signal != SIGCHLD, received.signal != Signals.alarm else { return }
        for signal in received.forCommand(hasEnded: endIsSeen) { _ = handle(.told(signal)) }
        guard front == getpid() else { return }
        if received.signal == SIGCONT { stopsTaken = [:] }
        // Whichever comes last, this or what became of the command, finds the other.
        if Signals.stopping.contains(received.signal) {
            stopsTaken[received.signal] = .sinceBoot()
            tellStop()
        }
    }

    /// Where nobody could, the kernel lets no terminal stop anybody: it does so for our sake alone.
    private mutating func seeWhoContinues() {
        isContinuable =
            commandStop == SIGTTIN || commandStop == SIGTTOU
            || ProcessTree.isContinuable(getpgid(page.commandPid)) == true
    }

    /// A command that stands stopped as this process takes over: the guardian has heard of it, and may have told nobody.
    private mutating func learnStop() {
        guard front == getpid(), !commandHasEnded, page.commandPid > 0,
            ProcessTree.isStopped(page.commandPid) == true
        else { return }
        commandStop = page.commandStop != 0 ? page.commandStop : stopsTaken.keys.first(where: isTaken) ?? SIGSTOP
        tellStop()
        seeWhoContinues()
    }

    /// `semq` stops as the command has stopped.
    private mutating func tellStop() {
        guard let commandStop else { return }
        if front == getpid() {
            // A SIGCONT that is still to be taken would be thrown away by the stop.
            guard isTaken(commandStop), !Signals.isPending([SIGCONT]) else { return }
            stopsTaken = [:]
        }
        stateChanged(commandStop)
    }

    /// Ctrl-C is for what the command has left from here on. One that waits to be taken has come before, as the kernel
    /// sends it to the whole group before any of it can end of it.
    private mutating func seeEnd() {
        if front == getpid() {
            while let received = Signals.next(Signals.interrupting, within: .zero) { take(received) }
        } else {
            hasNews()
        }
        endIsSeen = true
    }

    private func pass(_ signal: Int32) {
        guard !commandHasEnded, page.commandPid > 0 else { return }
        let forwarded = page.forwarded(signal)
        let sent = forwarded.pointee.sent  // before: one more that comes meanwhile is another signal
        if signal == SIGTERM { page.isToldToEnd = true }
        if signal == SIGHUP { page.isHungUp = true }
        kill(page.commandPid, signal)
        forwarded.pointee.passed = sent
    }

    /// Passes on what a killed guardian has left.
    /// - Parameter takenBack: signals that it never got to see, as the next one has taken them back.
    mutating func passForwarded(except takenBack: [Int32]) {
        for signal in Signals.supervised where !takenBack.contains(signal) {
            let forwarded = page.forwarded(signal).pointee
            if forwarded.passed != forwarded.sent { _ = handle(.told(signal)) }
        }
    }

    // MARK: what becomes of the command

    /// Takes in what became of children. One that has ended is reaped after its end is on the page, so that
    /// whoever takes over from a killed guardian can still learn it.
    private mutating func reap() -> GuardState.Action {
        var pid: Int32 = 0
        var kind: Int32 = 0
        var number: Int32 = 0
        var childless = false
        var hasReaped = false
        while semq_peek_child(&pid, &kind, &number, &childless) {
            let isEnd = kind == SEMQ_EXITED || kind == SEMQ_SIGNALED
            // Taken before it is acted on: another stop that comes meanwhile is another to be told.
            if !isEnd, !semq_take_change(pid, &kind, &number) { continue }
            if pid == page.commandPid {
                switch kind {
                case SEMQ_STOPPED:
                    commandStop = number
                    // First: who takes over from a guardian that is killed is told of no stop again.
                    tellStop()
                    seeWhoContinues()
                case SEMQ_CONTINUED:
                    commandStop = nil
                    stateChanged(nil)
                default:
                    // Of a child that goes on and ends at once, waitid(2) tells the end only.
                    if commandIsStopped { stateChanged(nil) }
                    commandStop = nil
                    commandHasEnded = true
                    page.commandSession = getsid(pid)
                    if page.outcome == .none {
                        page.outcome = kind == SEMQ_EXITED ? .exited(number) : .signaled(number)
                    }
                    page.commandHasEnded = true
                }
            }
            if isEnd, !Carriers.reap(pid) { semq_reap_child(pid, kind) }
            hasReaped = hasReaped || isEnd
        }
        if childless || isAlone { return handle(.treeEnded) }
        if commandHasEnded, state.phase == .running { return handle(.commandEnded) }
        return hasReaped && state.phase == .staying ? look() : .none
    }

    /// Whether nothing is left but what carries our links, or was left by what did. Asked only while a tree is being ended.
    private var isAlone: Bool {
        guard !isUnderPermit, Carriers.areKnown else { return false }
        return ProcessTree.isChildless || ProcessTree.left(in: [], everySession: true)?.isEmpty ?? false
    }

    /// Looks at what the command has left.
    private mutating func look() -> GuardState.Action {
        handle(.left(remains.look(in: [getsid(0), page.commandSession], at: .sinceBoot())))
    }

    /// The kernel hangs up a stopped job that nobody is left to continue, unless one of its processes has a
    /// parent of the same session outside of it: the guardian is such a one, and does it in the kernel's place.
    private mutating func hangUpForsakenJob() {
        guard commandIsStopped, isContinuable, case let group = getpgid(page.commandPid), group > 1,
            ProcessTree.isContinuable(group) == false
        else { return }
        isContinuable = false
        kill(-group, SIGHUP)
        kill(-group, SIGCONT)
    }

    private mutating func inspect() {
        hangUpForsakenJob()
        // Whatever comes after a loss is no news any more, but for what has become of the slot where something can't
        // be ended.
        if case .killed = state.phase { tellNews() }
        // Also where it is being ended already: now there may be less time for it.
        guard isUnderPermit || isEnding else { return }
        let losses = permits.losses()
        tellNews()
        guard let (grant, loss) = losses.first else { return }
        if page.outcome != .lost {
            page.message = loss.message(at: grant.path)
            page.outcome = .lost
            hasNews()
        }
        for (_, loss) in losses { _ = handle(.lost(grace: loss.grace)) }
    }

    // MARK: telling it

    private func tellNews() { tell(permits.grants.flatMap { $0.news() }) }

    private func tell(_ news: [String]) {
        guard !news.isEmpty else { return }
        page.add(news: news)
        hasNews()
    }

    /// Those who wait, and the person at the terminal, are told what keeps the turn.
    private mutating func tellOfRemains() {
        // What is told to end keeps nobody waiting for longer than its grace.
        guard !isEnding else { return }
        let front = front
        let hasLease = permits.grants.contains { $0.descriptor == nil }
        guard
            let remark = remains.news(
                commandHasEnded: commandHasEnded, hasLease: hasLease, at: .sinceBoot(), wayOut: Self.wayOut(of: front))
        else { return }
        for grant in permits.grants { grant.remark(remark.text) }
        guard tells, remark.isNews, let path = permits.grants.first?.path else { return }
        tell(["\(path): \(remark.text); \(remark.advice)"])
    }

    private static func wayOut(of front: Int32) -> WayOut {
        if OnBehalf.current != nil { return .elsewhere }
        return Terminal.isInForeground(front) ? .terminal : .signal(semq: front)
    }

    private mutating func perform(_ action: GuardState.Action) -> GuardState.Action {
        let command = commandHasEnded || page.commandPid <= 0 ? nil : page.commandPid
        switch action {
        case .none, .finish: break
        case .pass(let signal): pass(signal)
        case .look: return look()
        case .ask:
            page.isAsked = true
            guard isFrontThere else { return answer() }
            kill(front, Signals.alarm)
        case .hangUp:
            _ = look()
            ProcessTree.signal(SIGHUP, remains.processes)
            ProcessTree.signal(SIGCONT, remains.processes)  // a stopped process could not heed the first
            return .none
        case .terminateTree:
            ProcessTree.signal(SIGTERM, knowing: command)
            ProcessTree.signal(SIGCONT, knowing: command)
        case .killTree: remains.outlived(refused: ProcessTree.killAll(knowing: command), at: .sinceBoot())
        }
        return action
    }
}

extension PermitLoss {
    /// Between SIGTERM and SIGKILL for the command's processes.
    var grace: Duration {
        switch self {
        case .fileReplaced: Self.graceOfReplaced
        case .released(_, _, let grace), .cutOff(_, let grace): grace
        }
    }

    func message(at path: String) -> String {
        switch self {
        case .fileReplaced:
            "\(path): the lock is lost, because the queue file was deleted or replaced while it was held"
        case .released(let by, let reason, _): "\(path): \(by) has ended this turn: \(reason)"
        case .cutOff(let why, _): "\(path): the lock is lost: \(why)"
        }
    }
}
