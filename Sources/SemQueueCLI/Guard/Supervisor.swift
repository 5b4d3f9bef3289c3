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
    let permitLost: () -> Void

    private var state = GuardState()
    private var commandHasEnded = false
    /// A guardian was killed after the end had begun.
    private let takesOver: Bool
    private var commandIsStopped = false
    /// Somebody was there to continue the command when it stopped.
    private var isContinuable = false

    init(
        page: SharedPage, permits: Permits, stateChanged: @escaping (Int32?) -> Void,
        permitLost: @escaping () -> Void
    ) {
        self.page = page
        self.permits = permits
        self.stateChanged = stateChanged
        self.permitLost = permitLost
        takesOver = page.outcome != .none
        // What a killed guardian has begun goes on from there.
        switch page.outcome {
        case .none: break
        case .lost: _ = state.handle(.lost(grace: .zero), at: .sinceBoot())
        case .exited, .signaled, .notExecuted: commandHasEnded = true
        }
        if page.commandHasEnded { commandHasEnded = true }
    }

    /// Returns when the command has ended, its outcome is on the page and the permits are given back.
    mutating func run() {
        permits.keep()
        var nextInspection = Duration.sinceBoot() + .seconds(1)
        while true {
            if commandHasEnded, perform(state.handle(.commandEnded, at: .sinceBoot())) == .finish { break }
            if reap() == .finish { break }
            let now = Duration.sinceBoot()
            let limit = min(state.nextTick(at: now), max(.milliseconds(1), nextInspection - now))
            if let received = Signals.next(Signals.supervised, within: limit) {
                pass(received)
                if received.signal == Signals.alarm { nextInspection = .zero }
            }
            if perform(state.handle(.tick, at: .sinceBoot())) == .finish { break }
            if Duration.sinceBoot() >= nextInspection {
                inspect()
                nextInspection = .sinceBoot() + .seconds(1)
                if state.phase == .running, let end = permits.standUntil { nextInspection = min(nextInspection, end) }
            }
            if isEnding, let killBy = permits.killBy, .sinceBoot() >= killBy {
                _ = perform(state.handle(.lost(grace: .zero), at: .sinceBoot()))
            }
        }
        permits.release(mayBeDone: takesOver)
        tellNews()
    }

    private var isEnding: Bool {
        if case .ending = state.phase { true } else { false }
    }

    private func pass(_ received: Signals.Received) {
        guard received.signal != SIGCHLD, received.signal != Signals.alarm, !commandHasEnded else { return }
        guard page.commandPid > 0 else { return }
        for signal in received.forCommand { pass(signal) }
    }

    private func pass(_ signal: Int32) {
        let forwarded = page.forwarded(signal)
        let sent = forwarded.pointee.sent  // before: one more that comes meanwhile is another signal
        kill(page.commandPid, signal)
        forwarded.pointee.passed = sent
    }

    /// Passes on what a killed guardian has left.
    func passForwarded() {
        guard !commandHasEnded, page.commandPid > 0 else { return }
        for signal in Signals.supervised {
            let forwarded = page.forwarded(signal).pointee
            if forwarded.passed != forwarded.sent { pass(signal) }
        }
    }

    /// Takes in what became of children. A process is reaped after its end is on the page, so that
    /// whoever takes over from a killed guardian can still learn it.
    private mutating func reap() -> GuardState.Action {
        var pid: Int32 = 0
        var kind: Int32 = 0
        var number: Int32 = 0
        var childless = false
        while semq_peek_child(&pid, &kind, &number, &childless) {
            if pid == page.commandPid {
                switch kind {
                case SEMQ_STOPPED:
                    commandIsStopped = true
                    // Where nobody could, the kernel lets no terminal stop anybody: it does so for our sake alone.
                    isContinuable =
                        number == SIGTTIN || number == SIGTTOU || ProcessTree.isContinuable(getpgid(pid))
                    stateChanged(number)
                case SEMQ_CONTINUED:
                    commandIsStopped = false
                    stateChanged(nil)
                default:
                    // Of a child that goes on and ends at once, waitid(2) tells the end only.
                    if commandIsStopped { stateChanged(nil) }
                    commandHasEnded = true
                    page.commandHasEnded = true
                    if page.outcome == .none {
                        page.outcome = kind == SEMQ_EXITED ? .exited(number) : .signaled(number)
                    }
                }
            }
            semq_reap_child(pid, kind)
            if commandHasEnded, perform(state.handle(.commandEnded, at: .sinceBoot())) == .finish { return .finish }
        }
        return childless || isAlone ? perform(state.handle(.treeEnded, at: .sinceBoot())) : .none
    }

    /// Whether nothing is left but what carries our links. Asked only while a tree is being ended.
    private var isAlone: Bool {
        state.phase != .running && !Carriers.all.isEmpty && ProcessTree.descendants(of: getpid()).isEmpty
    }

    /// The kernel hangs up a stopped job that nobody is left to continue, unless one of its processes has a
    /// parent of the same session outside of it: the guardian is such a one, and does it in the kernel's place.
    private mutating func hangUpForsakenJob() {
        guard commandIsStopped, isContinuable, case let group = getpgid(page.commandPid), group > 1,
            !ProcessTree.isContinuable(group)
        else { return }
        isContinuable = false
        kill(-group, SIGHUP)
        kill(-group, SIGCONT)
    }

    private mutating func inspect() {
        hangUpForsakenJob()
        if !commandIsStopped, page.frontStops { stateChanged(nil) }
        // Whatever comes after a loss is no news any more.
        guard state.phase == .running else { return }
        let lost = permits.loss()
        tellNews()
        guard let (grant, loss) = lost else { return }
        page.message = loss.message(at: grant.path)
        page.outcome = .lost
        permitLost()
        _ = perform(state.handle(.lost(grace: loss.grace), at: .sinceBoot()))
    }

    private func tellNews() {
        let news = permits.grants.flatMap { $0.news() }
        guard !news.isEmpty else { return }
        page.add(news: news)
        permitLost()
    }

    private func perform(_ action: GuardState.Action) -> GuardState.Action {
        let command = commandHasEnded || page.commandPid <= 0 ? nil : page.commandPid
        switch action {
        case .none, .finish: break
        case .terminateTree:
            ProcessTree.signal(SIGTERM, knowing: command)
            ProcessTree.signal(SIGCONT, knowing: command)  // a stopped process could not heed the first
        case .killTree: ProcessTree.killAll(knowing: command)
        }
        return action
    }
}

extension PermitLoss {
    /// Between SIGTERM and SIGKILL for the command's processes.
    var grace: Duration {
        switch self {
        case .fileReplaced: .seconds(5)
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
