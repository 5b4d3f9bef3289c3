/// One waiter's decisions: what it may do, given what it sees. No I/O; time is passed in.
///
/// Three rules stand here. Only the head of the queue takes a slot. It takes one only while fewer
/// than `concurrency` are held or kept, counting those beyond a lowered concurrency. And where a slot stays
/// free although somebody waits for it, that somebody stands still (stopped, swapped out, frozen), and
/// the next one goes past.
struct Turn {
    /// What one look at the queue shows.
    struct Sight: Equatable {
        var concurrency: Int
        var paused: Bool
        /// The slots that others hold, in order.
        var held: [Int]
        /// The nearest who wait ahead, nearest first; as far as was looked.
        var ahead: [Ticket]
        /// The last fencing token: it changes with each grant.
        var lastToken: Int64
        /// The slots that nobody holds and that are kept for remote holders who are gone, in order.
        var kept: [Int] = []
        /// Nobody is granted for a while, because a remote holder's record may have been lost.
        var isHeldOff = false
        /// Until the first slot that is kept comes free, or the holding off ends.
        var keptFor: Duration?

        var hasRoom: Bool { !paused && !isHeldOff && held.count + kept.count < concurrency }
    }

    enum Action: Equatable {
        /// Take this slot.
        case claim(slot: Int)
        /// Sleep until the place ahead is given up, or until it is time to look again.
        case waitBehind(Ticket, lookAfter: Duration)
        /// Sleep until one of these slots is given back, or until it is time to look again.
        case waitForSlot([Int], lookAfter: Duration)
    }

    /// How long a slot stays free before somebody goes past a head that doesn't take it; each further
    /// one in line leaves the one before it a second more.
    static let patience = Duration.seconds(5)
    private static let patiencePerPlace = Duration.seconds(1)

    /// How far a waiter counts those ahead of it when it might go past them.
    static let horizon = 12

    /// The head looks for a changed concurrency or an ended pause.
    private static let headLooks = Duration.milliseconds(250)
    /// The second in line, and whoever has seen a free slot, looks for a head that stands still.
    private static let secondLooks = Duration.seconds(1)
    /// Those further back need no clock to move up; this is for the case that all ahead stand still.
    private static let othersLook = Duration.seconds(5)

    /// How long slots have been free, as far as was seen, while this one stood next ahead. Grants in
    /// between (to somebody urgent) and full hours don't count, and don't start it anew.
    private var idle: Idle?

    private struct Idle {
        var ahead: Ticket
        var total = Duration.zero
        /// When a slot was last seen free, and the last token then: it stayed free if no token was drawn since.
        var seen: (at: Duration, token: Int64)?
    }

    /// All slots are held or the queue is paused: whoever is ahead has no reason to move.
    mutating func sawNoRoom() { idle?.seen = nil }

    /// Decides what to do next.
    /// - Parameters:
    ///   - sight: the queue as it is now. A claim is sound only if this was seen under the mutex.
    ///   - now: a monotonic time.
    mutating func look(_ sight: Sight, at now: Duration) -> Action {
        guard sight.hasRoom else {
            sawNoRoom()
            guard let next = sight.ahead.first else {
                return .waitForSlot(sight.held, lookAfter: min(Self.headLooks, sight.keptFor ?? Self.headLooks))
            }
            return .waitBehind(next, lookAfter: sight.ahead.count == 1 ? Self.secondLooks : Self.othersLook)
        }
        guard let next = sight.ahead.first else { return .claim(slot: sight.firstFree) }
        var idle = idle.flatMap { $0.ahead == next ? $0 : nil } ?? Idle(ahead: next)
        if let seen = idle.seen, seen.token == sight.lastToken { idle.total += now - seen.at }
        idle.seen = (now, sight.lastToken)
        self.idle = idle
        let patience = Self.patience + Self.patiencePerPlace * (sight.ahead.count - 1)
        return idle.total >= patience
            ? .claim(slot: sight.firstFree) : .waitBehind(next, lookAfter: Self.secondLooks)
    }
}

extension Turn.Action {
    var isClaim: Bool {
        if case .claim = self { true } else { false }
    }
}

extension Turn.Sight {
    /// With fewer than `concurrency` slots held or kept, one of the first `concurrency` is free.
    var firstFree: Int {
        let taken = Set(held + kept)
        return (0..<concurrency).first { !taken.contains($0) }!
    }
}
