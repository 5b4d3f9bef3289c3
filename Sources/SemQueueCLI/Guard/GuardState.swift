internal import Glibc
internal import SemQueue

/// What the guardian of a command does next. No I/O; time is passed in.
struct GuardState: Equatable {
    /// How long a turn lasts: `--until`.
    enum Until: String, CaseIterable {
        /// Until the command has ended, whatever it leaves behind.
        case command
        /// Until nobody is left in the command's session either: a daemon, which makes its own, holds nobody up.
        case session
        /// Until the last process that it has started has ended, daemons too.
        case tree
    }

    enum Phase: Equatable {
        /// The command runs under a permit that stands.
        case running
        /// The command has ended, and something that it has started keeps the turn.
        case staying
        /// The permit is gone, or somebody has ended the turn: the whole tree was asked to end, and is killed at a set
        /// time.
        case ending(killAt: Duration)
        /// The whole tree was killed; what is left is to be reaped. Who may not be killed by us holds the turn.
        case killed(since: Duration)
    }

    enum Event: Equatable {
        /// A signal that was sent to `semq`.
        case told(Int32)
        /// The command itself has ended.
        case commandEnded
        /// A look at what the command has left, once it has ended.
        case left(Left)
        /// Every signal that was sent to `semq` before it was asked has been told.
        case answered
        /// No process of the command's is left.
        case treeEnded
        /// The permit is gone.
        case lost(grace: Duration)
        case tick
    }

    enum Left: Equatable {
        case nobody
        /// Processes that don't keep the turn.
        case daemons
        /// Somebody who keeps the turn.
        case work
    }

    enum Action: Equatable {
        case none
        /// Ask `semq` whether a signal has come to it.
        case ask
        /// Hand the signal to the command.
        case pass(Int32)
        /// Look at what the command has left.
        case look
        /// SIGHUP to what the command has left, then look.
        case hangUp
        /// SIGTERM to every process of the tree.
        case terminateTree
        /// SIGKILL to every process of the tree, until none is left.
        case killTree
        /// Give the permit back and end.
        case finish
    }

    let until: Until
    /// Between SIGTERM and SIGKILL, where somebody has ended the turn by a signal.
    let grace: Duration
    private(set) var phase = Phase.running
    /// `semq` was told to end: what the command leaves behind then is ended too.
    private(set) var isToldToEnd: Bool
    /// What the command leaves behind then gets SIGHUP too.
    private var isHungUp: Bool
    /// When `semq` was asked, and whether it has answered. A SIGTERM to the whole group ends the command before we hear
    /// of it: daemons are let alone only when it is known that there was none.
    private var asked: Duration?
    private var isAnswered = false
    /// One that is stopped doesn't answer.
    private static let patience = Duration.seconds(1)

    /// - Parameters:
    ///   - isToldToEnd: a guardian whose work is taken over had passed SIGTERM on.
    ///   - isHungUp: the same of SIGHUP.
    init(
        until: Until = .session, grace: Duration = .seconds(5), isToldToEnd: Bool = false, isHungUp: Bool = false
    ) {
        (self.until, self.grace, self.isToldToEnd, self.isHungUp) = (until, grace, isToldToEnd, isHungUp)
    }

    mutating func handle(_ event: Event, at now: Duration) -> Action {
        switch (phase, event) {
        case (.running, .told(let signal)):
            if signal == SIGTERM { isToldToEnd = true }
            if signal == SIGHUP { isHungUp = true }
            return .pass(signal)
        case (.running, .commandEnded):
            if until == .command { return .finish }
            if isToldToEnd { return end(at: now, within: grace) }
            phase = .staying
            return isHungUp ? .hangUp : .look
        case (.running, .left), (.running, .answered), (.running, .tick): return .none
        case (.staying, .told(SIGINT)), (.staying, .told(SIGQUIT)), (.staying, .told(SIGTERM)):
            return end(at: now, within: grace)
        // Who ignores it stays, and keeps the turn.
        case (.staying, .told(SIGHUP)): return .hangUp
        case (.staying, .left(.nobody)): return .finish
        case (.staying, .left(.daemons)) where isAnswered || now - (asked ?? now) >= Self.patience: return .finish
        case (.staying, .left(.daemons)):
            defer { asked = asked ?? now }
            return asked == nil ? .ask : .none
        case (.staying, .answered):
            isAnswered = true
            return .look
        case (.staying, .tick): return .look
        case (.staying, .told), (.staying, .left), (.staying, .commandEnded): return .none
        case (.running, .lost(let grace)), (.staying, .lost(let grace)): return end(at: now, within: grace)
        // Once the turn is being ended, nobody may be granted before the last process of the tree has.
        case (_, .treeEnded): return .finish
        case (.ending(let time), _):
            var killAt = time
            // Another loss can only leave less time.
            if case .lost(let grace) = event { killAt = min(killAt, now + grace) }
            phase = .ending(killAt: killAt)
            // A command that cleans up is told what else comes.
            if case .told(let signal) = event { return .pass(signal) }
            guard now >= killAt else { return .none }
            phase = .killed(since: now)
            return .killTree
        case (.killed, .tick): return .killTree
        case (.killed, _): return .none
        }
    }

    private mutating func end(at now: Duration, within grace: Duration) -> Action {
        phase = .ending(killAt: now + grace)
        return .terminateTree
    }

    /// How long to sleep at most until the next tick.
    /// - Parameter hears: whether the end of all that keeps the turn comes as a signal.
    func nextTick(at now: Duration, hears: Bool = true) -> Duration {
        switch phase {
        case .running: .seconds(1)
        case .staying: asked != nil && !isAnswered ? .milliseconds(100) : hears ? .seconds(1) : .milliseconds(200)
        case .ending(let killAt): max(.milliseconds(1), min(.milliseconds(100), killAt - now))
        // Who has outlived it for long is in nobody's power here.
        case .killed(let since): min(.seconds(1), max(.milliseconds(20), (now - since) / 10))
        }
    }
}
