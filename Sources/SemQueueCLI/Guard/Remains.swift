internal import SemQueue

/// What still runs of a command that has ended, or that was killed and doesn't end; and what people are told of it.
struct Remains {
    typealias Process = ProcessTree.Process

    /// Daemons keep the turn too.
    let everySession: Bool
    /// Those that keep the turn, as of the last look.
    private(set) var processes: [Process] = []
    /// All that is left are daemons, which keep nobody waiting.
    private var isOver = false
    private var since: Duration?
    private var killedSince: Duration?
    private var refused: [Process] = []
    private var told: (remark: String, what: String, at: Duration)?

    init(everySession: Bool) { self.everySession = everySession }

    /// - Parameters:
    ///   - sessions: those that the command was in.
    ///   - now: when this is.
    /// - Returns: what is left. Where it can't be told every child keeps the turn, and the caller has one.
    mutating func look(in sessions: Set<Int32>, at now: Duration) -> GuardState.Left {
        since = since ?? now
        isOver = false
        if ProcessTree.isChildless { return .nobody }
        guard let found = ProcessTree.left(in: sessions, everySession: everySession) else { return .work }
        processes = found
        isOver = found.isEmpty
        return found.isEmpty ? .daemons : .work
    }

    /// All were killed.
    /// - Parameter refused: those that may not be killed by us.
    mutating func outlived(refused: [Process], at now: Duration) {
        killedSince = killedSince ?? now
        self.refused = refused
        guard now - killedSince! >= Self.patience else { return }
        processes = ProcessTree.descendants() ?? []
    }

    /// Whether the end of the last of them comes as a signal: nobody's parent is a process that doesn't count.
    var areHeardOf: Bool {
        let known = Set(processes.map(\.pid))
        let strangers = processes.filter { !known.contains($0.parent) }
        return strangers.allSatisfy { ProcessTree.isChild($0) }
    }

    // MARK: telling it

    /// What has just ended takes a moment to be gone with all its helpers.
    private static let patience = Duration.milliseconds(500)

    /// For how long to sleep at most until there is something to tell.
    func untilTold(at now: Duration) -> Duration {
        guard told == nil, killedSince != nil || !isOver, let start = killedSince ?? since else {
            return .seconds(3600)
        }
        return max(.zero, start + Self.patience - now)
    }

    struct Remark: Equatable {
        var text: String
        /// For the person whose turn it is.
        var advice: String
        var isNews: Bool
    }

    /// What there is to tell that wasn't told yet. Whoever starts one helper after the other is named once.
    /// - Parameters:
    ///   - hasLease: the turn is kept by another host, which gives it on when it hears nothing.
    ///   - wayOut: how what may be ended by us is ended; asked only where there is something to tell.
    mutating func news(
        commandHasEnded: Bool, hasLease: Bool, at now: Duration, wayOut: @autoclosure () -> WayOut
    ) -> Remark? {
        guard let start = killedSince ?? since, now - start >= Self.patience else { return nil }
        let who = refused.isEmpty ? processes : refused
        let named = Self.named(who)
        let (what, text): (String, String)
        if killedSince != nil {
            guard !processes.isEmpty else { return nil }
            what = refused.isEmpty ? "killed, and not ended yet" : "another user's, and not to be ended from here"
            text = "\(named): \(what)"
        } else if commandHasEnded, !isOver {
            what = "still runs"
            text = "the command has ended; \(named) of it still runs"
        } else {
            return nil
        }
        // How many more there are changes all the time where a script runs one program after the other.
        let news = "\(who.first?.pid ?? 0) \(what)"
        guard text != told?.remark, news != told?.what || now - told!.at >= Self.pause else { return nil }
        defer { told = (text, news, now) }
        // Who may not be signalled is known before anybody tries.
        let theirs = (killedSince == nil ? ProcessTree.signal(0, processes) : refused).map(\.pid)
        let advice =
            killedSince == nil
            ? "it keeps the turn; \((theirs.isEmpty ? wayOut() : .otherUser(theirs)).advice)"
            : "the turn lasts until it ends" + (hasLease ? Self.butLease : "")
                + (theirs.isEmpty ? "" : "; \(WayOut.command(theirs)) ends it")
        return Remark(text: text, advice: advice, isNews: told == nil || killedSince != nil && news != told?.what)
    }

    private static let butLease = ", but where its host isn't reached no longer than the lease"
    private static let pause = Duration.seconds(10)

    private static func named(_ processes: [Process]) -> String {
        guard let first = processes.first else { return "something" }
        let others = processes.count - 1
        let stopped = first.isStopped ? ", stopped" : ""
        return "\(first.name.printable) (pid \(first.pid)\(stopped))" + (others == 0 ? "" : " and \(others) more")
    }
}
