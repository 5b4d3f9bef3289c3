internal import SemQueue

/// What the guardian of a command does next. No I/O; time is passed in.
struct GuardState: Equatable {
    enum Phase: Equatable {
        /// The command runs under a permit that stands.
        case running
        /// The permit is gone: the whole tree was asked to end, and is killed at a set time.
        case ending(killAt: Duration)
        /// The whole tree was killed; what is left is to be reaped.
        case killed
    }

    enum Event: Equatable {
        /// The command itself has ended; what it left behind is not waited for.
        case commandEnded
        /// No process of the command's is left.
        case treeEnded
        /// The permit is gone.
        case lost(grace: Duration)
        case tick
    }

    enum Action: Equatable {
        case none
        /// SIGTERM to every process of the tree.
        case terminateTree
        /// SIGKILL to every process of the tree, until none is left.
        case killTree
        /// Give the permit back and end.
        case finish
    }

    private(set) var phase = Phase.running

    mutating func handle(_ event: Event, at now: Duration) -> Action {
        switch (phase, event) {
        case (.running, .commandEnded), (.running, .treeEnded): return .finish
        case (.running, .lost(let grace)):
            phase = .ending(killAt: now + grace)
            return .terminateTree
        case (.running, .tick): return .none
        // Once the permit is gone, nobody may be granted before the last process of the tree is.
        case (.ending, .treeEnded), (.killed, .treeEnded): return .finish
        case (.ending(let time), _):
            var killAt = time
            // Another loss can only leave less time.
            if case .lost(let grace) = event { killAt = min(killAt, now + grace) }
            phase = .ending(killAt: killAt)
            guard now >= killAt else { return .none }
            phase = .killed
            return .killTree
        case (.killed, .tick): return .killTree
        case (.killed, _): return .none
        }
    }

    /// How long to sleep at most until the next tick.
    func nextTick(at now: Duration) -> Duration {
        switch phase {
        case .running: .seconds(1)
        case .ending(let killAt): max(.milliseconds(1), min(.milliseconds(100), killAt - now))
        case .killed: .milliseconds(20)
        }
    }
}
