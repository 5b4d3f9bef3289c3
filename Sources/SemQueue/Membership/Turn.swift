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
        /// Somebody waits who came ``horizon`` numbers earlier or more.
        var isFarBack = false

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

    /// How long a slot stays free before the head that doesn't take it is passed, and how long each further
    /// one in line has after that, to go past before those behind it do: longer than it sleeps between looks.
    private static let patience = (head: Duration.seconds(5), further: Duration.seconds(2))

    /// How far a waiter counts those ahead of it when it might go past them. Those within that of the head go past
    /// one that stands still; those further back are one of many, and look rarely.
    static let horizon = 12

    /// The head looks for a changed concurrency or an ended pause.
    private static let headLooks = Duration.milliseconds(250)
    /// Those near the head, and whoever has seen a slot stay free, look for a head that stands still.
    private static let nearLooks = Duration.seconds(1)
    /// Those further back need no clock to move up; this is for the case that all ahead stand still.
    private static let farLooks = Duration.seconds(15)

    /// For how long each of those ahead left a slot that was its to take: the head first, the one behind it
    /// only when the head could have been passed. Grants in between (to somebody urgent) and full hours
    /// don't count, and don't start it anew.
    private var idle: [Ticket: Duration] = [:]

    /// What was counted against those ahead of one who came later: it begins to count them only then, and has that
    /// much longer itself.
    private var allowance: [Ticket: Duration] = [:]
    /// Who was ahead at the last look at a free slot.
    private var known: Set<Ticket> = []

    /// The last look at a free slot.
    private var seen: Seen?

    private struct Seen {
        var at: Duration
        var head: Ticket
        /// The slot stayed free if no token was drawn since.
        var token: Int64
    }

    /// Whether it was far back at the last look. Those near the head are few: whatever a look costs, they can have it.
    private(set) var isFarBack = true

    /// The last token as of the last look.
    private var lastToken: Int64?

    /// All slots are held or the queue is paused: whoever is ahead has no reason to move.
    private mutating func sawNoRoom(lastToken: Int64) { (seen, self.lastToken) = (nil, lastToken) }

    /// Decides what to do next behind another who is still there, without asking who is ahead: that costs a look
    /// at every lock on the file, and with a thousand waiters it is most of what a queue costs.
    /// - Returns: nil if it has to be asked.
    mutating func glance(behind next: Ticket, hasRoom: Bool, lastToken: Int64, isFarBack: Bool) -> Action? {
        self.isFarBack = isFarBack
        guard hasRoom else {
            sawNoRoom(lastToken: lastToken)
            return .waitBehind(next, lookAfter: isFarBack ? Self.farLooks : Self.nearLooks)
        }
        // In a busy queue a slot is free now and then, for a moment, and grants follow each other.
        guard isFarBack, self.lastToken != lastToken else { return nil }
        self.lastToken = lastToken
        return .waitBehind(next, lookAfter: Self.farLooks / 3)
    }

    /// Decides what to do next.
    /// - Parameters:
    ///   - sight: the queue as it is now. A claim is sound only if this was seen under the mutex.
    ///   - now: a monotonic time.
    mutating func look(_ sight: Sight, at now: Duration) -> Action {
        isFarBack = sight.isFarBack
        guard sight.hasRoom else {
            sawNoRoom(lastToken: sight.lastToken)
            guard let next = sight.ahead.first else {
                return .waitForSlot(sight.held, lookAfter: min(Self.headLooks, sight.keptFor ?? Self.headLooks))
            }
            return .waitBehind(next, lookAfter: isFarBack ? Self.farLooks : Self.nearLooks)
        }
        guard let next = sight.ahead.first, let head = sight.ahead.last else { return .claim(slot: sight.firstFree) }
        idle = idle.filter { sight.ahead.contains($0.key) }
        if let seen, seen.head == head, seen.token == sight.lastToken {
            // Who looks late stood still itself, perhaps with all the others.
            charge(min(now - seen.at, Self.nearLooks), to: sight.ahead.filter(known.contains))
        }
        allow(sight.ahead)
        seen = Seen(at: now, head: head, token: sight.lastToken)
        return owed(sight.ahead).allSatisfy { $0.time <= .zero }
            ? .claim(slot: sight.firstFree) : .waitBehind(next, lookAfter: Self.nearLooks)
    }

    private mutating func allow(_ ahead: [Ticket]) {
        allowance = allowance.filter { ahead.contains($0.key) }
        var counted = Duration.zero
        for ticket in ahead.reversed() {
            if !known.contains(ticket), counted > .zero { allowance[ticket] = counted }
            counted += idle[ticket, default: .zero] - allowance[ticket, default: .zero]
        }
        known = Set(ahead)
    }

    private mutating func charge(_ span: Duration, to ahead: [Ticket]) {
        var rest = span
        for (ticket, time) in owed(ahead) {
            let share = min(rest, max(time, .zero))
            idle[ticket, default: .zero] += share
            rest -= share
        }
    }

    /// The time that each of those ahead still has, the head first.
    private func owed(_ ahead: [Ticket]) -> [(ticket: Ticket, time: Duration)] {
        ahead.reversed().enumerated().map { place, ticket in
            let patience =
                place == 0 ? Self.patience.head : Self.patience.further + allowance[ticket, default: .zero]
            return (ticket, patience - idle[ticket, default: .zero])
        }
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
