/// What remote holders have left whose locks are gone without a word: slots that are kept, although nobody holds
/// them, for what may go on elsewhere. No I/O; time is passed in.
struct Tombstones: Equatable {
    /// Slots that nobody holds and nobody may take, with how long that lasts still.
    private(set) var kept: [Kept] = []
    /// For how long nobody is granted at all; nil where that is not so.
    private(set) var holdoff: Duration?
    /// What was found and isn't written down yet. That is for whoever has the mutex.
    private(set) var due: [Change] = []

    struct Kept: Equatable {
        var slot: Int
        var holder: SlotRecord.Holder
        var rest: Duration
    }

    enum Change: Equatable {
        /// Found held by a remote member that is gone: from now on its lease is counted.
        case stamp(SlotRecord)
        /// Damaged, so that nobody knows whose it was: free, and the whole queue waits instead.
        case mend(slot: Int)
    }

    /// What this process has found out and could not write down: it is counted here, lest it never end.
    struct Unwritten: Equatable {
        /// By the holder's token.
        var stamps: [Int64: Expiry] = [:]
        var mended: Set<Int> = []
        var holdoff: Expiry?
    }

    /// - Parameters:
    ///   - records: the lines of the slots below `header.remote`.
    ///   - held: slots that are held, whose records are their holders' own affair.
    init(
        _ header: Header, _ records: [UInt8], held: [Int], at now: BootTime, unwritten: Unwritten = Unwritten()
    ) {
        for slot in 0..<header.remote where !held.contains(slot) {
            let start = slot * Line.length
            let line = records.dropFirst(start).prefix(Line.length)
            guard let record = SlotRecord(line: line), record.slot == slot else {
                if !unwritten.mended.contains(slot) { due.append(.mend(slot: slot)) }
                continue
            }
            switch record.state {
            case .free: continue
            case .held(let holder) where !holder.isRemote: continue
            case .held(let holder):
                if let expiry = unwritten.stamps[holder.token] {
                    keep(slot, holder, expiry.remaining(of: holder.lease, at: now))
                } else {
                    let dead = SlotRecord.State.dead(holder, Expiry(holder.lease, from: now))
                    due.append(.stamp(SlotRecord(queue: record.queue, slot: slot, state: dead)))
                    keep(slot, holder, holder.lease)
                }
            case .dead(let holder, let expiry): keep(slot, holder, expiry.remaining(of: holder.lease, at: now))
            }
        }
        let isDamaged = due.contains { if case .mend = $0 { true } else { false } }
        let rest = isDamaged ? Lease.longest : Self.holdoff(header, at: now, unwritten)
        if rest > .zero { holdoff = rest }
    }

    private mutating func keep(_ slot: Int, _ holder: SlotRecord.Holder, _ rest: Duration) {
        if rest > .zero { kept.append(Kept(slot: slot, holder: holder, rest: rest)) }
    }

    /// Until the first of all this is over; nil where there is nothing.
    var keptFor: Duration? { (kept.map(\.rest) + (holdoff.map { [$0] } ?? [])).min() }

    static func holdoff(_ header: Header, at now: BootTime, _ unwritten: Unwritten = Unwritten()) -> Duration {
        guard header.remote > 0 else { return .zero }
        var rest = [header.holdoff, unwritten.holdoff].map { $0?.remaining(of: Lease.longest, at: now) ?? .zero }
        // When the power fails, what was granted last may not have reached the disk.
        if header.remoteBoot != now.boot, now.boot != 0 {
            rest.append(Lease.longest - .milliseconds(now.milliseconds))
        }
        return rest.max() ?? .zero
    }
}
