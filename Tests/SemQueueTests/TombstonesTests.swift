import Testing

@testable import SemQueue

/// What is read from the records of remote holders that are gone.
@Suite struct TombstonesTests {
    private let now = BootTime(boot: 7, milliseconds: 1_000_000)

    private func holder(_ token: Int64, lease: Duration) -> SlotRecord.Holder {
        SlotRecord.Holder(
            ticket: Ticket(priority: 0, number: token), token: token, since: Timestamp(1),
            party: Party(pid: 4, host: "desk", user: "ann", description: "flash"), lease: lease)
    }

    private func header(_ remote: Int, holdoff: Expiry? = nil) -> Header {
        Header(queue: 9, concurrency: 8, remote: remote, remoteBoot: now.boot, holdoff: holdoff)
    }

    private func lines(_ states: SlotRecord.State...) -> [UInt8] {
        states.enumerated().flatMap { SlotRecord(queue: 9, slot: $0, state: $1).line }
    }

    private static let expiries: [(Expiry, Int64)] = [
        // Stamped in this boot.
        (Expiry(boot: 7, until: 1_015_000), 15_000), (Expiry(boot: 7, until: 1_000_001), 1),
        (Expiry(boot: 7, until: 1_000_000), 0), (Expiry(boot: 7, until: 3), 0),
        // In another one: long enough ago, since the machine has run for longer than a lease.
        (Expiry(boot: 8, until: 1_010_000), 0), (Expiry(boot: 8, until: 9_999_000_000), 0),
        // Who knows when: at most the lease is waited for.
        (Expiry(boot: 0, until: 1_015_000), 15_000), (Expiry(boot: 0, until: 999_999), 0),
        (Expiry(boot: 0, until: 1_015_001), 0),
    ]

    @Test(arguments: expiries) func anExpiryIsOver(_ expiry: Expiry, _ milliseconds: Int64) {
        #expect(expiry.remaining(of: .seconds(15), at: now) == .milliseconds(milliseconds))
    }

    @Test func afterARebootALeaseIsOverOnceTheMachineHasRunForAsLong() {
        for (boot, uptime, rest) in [(8, 0, 15_000), (8, 14_999, 1), (8, 15_000, 0), (8, 40_000, 0)]
            as [(UInt64, Int64, Int64)]
        {
            let expiry = Expiry(boot: 7, until: 5_000_000)
            let now = BootTime(boot: boot, milliseconds: uptime)
            #expect(expiry.remaining(of: .seconds(15), at: now) == .milliseconds(rest), "after \(uptime) ms")
        }
        let unknown = BootTime(boot: 0, milliseconds: 10_000)
        #expect(Expiry(boot: 7, until: 20_000).remaining(of: .seconds(15), at: unknown) == .seconds(10))
        #expect(Expiry(boot: 7, until: 5_000_000).remaining(of: .seconds(15), at: unknown) == .seconds(5))
    }

    @Test func anExpiryIsCountedFromNow() {
        #expect(Expiry(.seconds(15), from: now) == Expiry(boot: 7, until: 1_015_000))
    }

    @Test func thisBootHasAnIdAndItsClockRuns() {
        let (first, second) = (BootTime.clock(), BootTime.clock())
        #expect(first.boot != 0)
        #expect(first.boot == second.boot)
        #expect(second.milliseconds >= first.milliseconds)
        #expect(first.milliseconds > 0)
    }

    @Test func whatIsFreeLocalOrHeldIsNotKept() {
        let local = holder(1, lease: .zero)
        let remote = holder(2, lease: .seconds(15))
        let found = Tombstones(header(3), lines(.free, .held(local), .held(remote)), held: [2], at: now)
        #expect(found.kept.isEmpty && found.due.isEmpty)
        #expect(found.holdoff == nil && found.keptFor == nil)
    }

    @Test func aRemoteHolderThatIsGoneIsStampedWithItsLease() {
        let remote = holder(2, lease: .seconds(15))
        let found = Tombstones(header(2), lines(.free, .held(remote)), held: [], at: now)
        let dead = SlotRecord.State.dead(remote, Expiry(boot: 7, until: 1_015_000))
        #expect(found.due == [.stamp(SlotRecord(queue: 9, slot: 1, state: dead))])
        #expect(found.kept == [.init(slot: 1, holder: remote, rest: .seconds(15))])
        #expect(found.keptFor == .seconds(15))
    }

    @Test func aTombstoneIsKeptUntilItIsOver() {
        let remote = holder(2, lease: .seconds(15))
        for (until, rest) in [(1_004_000, 4_000), (1_000_000, 0), (10, 0)] as [(Int64, Int64)] {
            let dead = SlotRecord.State.dead(remote, Expiry(boot: 7, until: until))
            let found = Tombstones(header(1), lines(dead), held: [], at: now)
            #expect(found.kept == (rest > 0 ? [.init(slot: 0, holder: remote, rest: .milliseconds(rest))] : []))
            #expect(found.due.isEmpty)
        }
    }

    @Test func onlySlotsThatWereEverRemoteAreRead() {
        let remote = holder(2, lease: .seconds(15))
        #expect(Tombstones(header(1), lines(.free, .held(remote)), held: [], at: now).kept.isEmpty)
        #expect(Tombstones(header(0), [], held: [], at: BootTime(boot: 1, milliseconds: 1)).keptFor == nil)
    }

    @Test(arguments: ["garbage", "another slot's", "cut off", "a hole"]) func whatCannotBeReadHoldsEverybodyOff(
        _ damage: String
    ) {
        var records = lines(.free, .free)
        switch damage {
        case "garbage": records[600] ^= 1
        case "another slot's": records.replaceSubrange(512..<1024, with: records[..<512])
        case "cut off": records.removeLast(300)
        default: records.replaceSubrange(512..<1024, with: repeatElement(0, count: 512))
        }
        let found = Tombstones(header(2), records, held: [], at: now)
        #expect(found.due == [.mend(slot: 1)])
        #expect(found.holdoff == .seconds(60))
        #expect(Tombstones(header(2), records, held: [1], at: now).holdoff == nil, "whoever holds it writes it anew")
    }

    @Test func aHoldoffLastsUntilItIsOver() {
        let records = lines(.free)
        for (until, rest) in [(1_059_000, 59_000), (1_000_000, nil)] as [(Int64, Int64?)] {
            let found = Tombstones(header(1, holdoff: Expiry(boot: 7, until: until)), records, held: [], at: now)
            #expect(found.holdoff == rest.map { .milliseconds($0) })
        }
    }

    /// What was granted in the last seconds before the power failed may never have reached the disk.
    @Test func afterARebootNobodyIsGrantedWithinTheLongestLease() {
        for (uptime, rest) in [(0, 60_000), (59_999, 1), (60_000, nil)] as [(Int64, Int64?)] {
            let found = Tombstones(header(1), lines(.free), held: [], at: BootTime(boot: 8, milliseconds: uptime))
            #expect(found.holdoff == rest.map { .milliseconds($0) })
        }
        let same = Tombstones(header(1), lines(.free), held: [], at: BootTime(boot: 7, milliseconds: 5))
        #expect(same.holdoff == nil)
    }

    @Test func theFirstToBeOverSaysWhenToLook() {
        let (first, second) = (holder(1, lease: .seconds(15)), holder(2, lease: .seconds(15)))
        let records = lines(
            .dead(first, Expiry(boot: 7, until: 1_009_000)), .dead(second, Expiry(boot: 7, until: 1_004_000)))
        #expect(Tombstones(header(2), records, held: [], at: now).keptFor == .seconds(4))
        let off = header(2, holdoff: Expiry(boot: 7, until: 1_001_000))
        #expect(Tombstones(off, records, held: [], at: now).keptFor == .seconds(1))
    }

    /// Where nothing can be written, it must end all the same.
    @Test func whatCouldNotBeWrittenIsCountedByWhoeverFoundIt() {
        let remote = holder(2, lease: .seconds(15))
        var damaged = lines(.held(remote), .free)
        damaged[700] ^= 1
        var unwritten = Tombstones.Unwritten()
        unwritten.stamps = [2: Expiry(boot: 7, until: 1_003_000)]
        unwritten.mended = [1]
        unwritten.holdoff = Expiry(boot: 7, until: 1_002_000)
        let found = Tombstones(header(2), damaged, held: [], at: now, unwritten: unwritten)
        #expect(found.due.isEmpty)
        #expect(found.kept.map(\.rest) == [.seconds(3)])
        #expect(found.holdoff == .seconds(2))
        let later = BootTime(boot: 7, milliseconds: 1_003_000)
        #expect(Tombstones(header(2), damaged, held: [], at: later, unwritten: unwritten).keptFor == nil)
    }
}
