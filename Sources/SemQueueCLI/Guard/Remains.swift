internal import SemQueue

/// What still runs of a command that has ended, or that was killed and doesn't end; and what people are told of it.
struct Remains {
    typealias Process = ProcessTree.Process

    /// Daemons keep the turn too.
    let everySession: Bool
    /// Those that keep the turn, as of the last look.
    private(set) var processes: [Process] = []
    private var since: Duration?
    private var killedSince: Duration?
    private var refused: [Process] = []
    private var remark: String?

    init(everySession: Bool) { self.everySession = everySession }

    /// - Parameters:
    ///   - sessions: those that the command was in.
    ///   - now: when this is.
    /// - Returns: whether anything keeps the turn. Where it can't be told every child does, and the caller has one.
    mutating func look(in sessions: Set<Int32>, at now: Duration) -> Bool {
        since = since ?? now
        if ProcessTree.isChildless { return false }
        guard let found = ProcessTree.left(in: sessions, everySession: everySession) else { return true }
        processes = found
        return !found.isEmpty
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
        guard remark == nil, let start = killedSince ?? since else { return .seconds(3600) }
        return max(.zero, start + Self.patience - now)
    }

    struct Remark: Equatable {
        var text: String
        /// For the person whose turn it is.
        var advice: String
        var isNews: Bool
    }

    /// What there is to tell that wasn't told yet.
    mutating func news(commandHasEnded: Bool, at now: Duration) -> Remark? {
        guard let start = killedSince ?? since, now - start >= Self.patience else { return nil }
        var (text, advice) = ("", "")
        if killedSince != nil {
            guard !processes.isEmpty else { return nil }
            let (who, why) = refused.isEmpty ? (processes, "killed, and not ended yet") : (refused, Self.notOurs)
            text = "\(Self.named(who)): \(why)"
            advice = "the turn lasts until it ends, or as long as a lease does"
        } else if commandHasEnded {
            text = "the command has ended; \(Self.named(processes)) of it still runs"
            advice = "it keeps the turn; Ctrl-C ends it"
        }
        guard !text.isEmpty, text != remark else { return nil }
        defer { remark = text }
        return Remark(text: text, advice: advice, isNews: remark == nil || killedSince != nil)
    }

    private static let notOurs = "another user's, and not to be ended from here"

    private static func named(_ processes: [Process]) -> String {
        guard let first = processes.first else { return "something" }
        let others = processes.count - 1
        return "\(first.name.printable) (pid \(first.pid))" + (others == 0 ? "" : " and \(others) more")
    }
}
