import Glibc
import Testing

@testable import SemQueue

/// Holders on other hosts: what is kept when they are lost without a word.
@Suite struct LeaseTests {
    private let bench = LeaseBench()

    private func settled(_ condition: () throws -> Bool) throws { try LeaseWaiter.settled(condition) }

    /// Takes the slot with a lease, and dies.
    private func lose(_ lease: Duration = .seconds(15), _ name: String = "lost") throws {
        bench.lose(try #require(try bench.attempt(lease: lease, name)))
    }

    // MARK: recorded

    @Test func aRemoteHolderIsRecordedWithItsLeaseAndItsParty() throws {
        let before = Timestamp.now()
        let grant = try #require(try bench.attempt(lease: .seconds(15), "flash"))
        let holder = try #require(try bench.status().holders.first)
        #expect(holder.party == Party(pid: 4242, host: "desk", user: "ann", description: "flash"))
        let expires = try #require(holder.leaseExpires)
        #expect(expires >= Timestamp(before.microseconds + 15_000_000))
        #expect(!holder.isCutOff)
        #expect(try bench.record(0)?.holder?.lease == .seconds(15))
        #expect(try bench.header()?.remote == 1)
        #expect(try bench.header()?.remoteBoot == 7)
        grant.release()
        #expect(try bench.status().holders.isEmpty)
        #expect(try bench.record(0)?.state == .free)
    }

    @Test func theMarkIsMadeAsTheFolderIs() throws {
        chmod(bench.folder.path("."), 0o770)
        #expect(access(bench.path + ".remote", F_OK) != 0)
        try lose()
        var info = stat()
        #expect(lstat(bench.path + ".remote", &info) == 0)
        #expect(info.st_mode & 0o7777 == 0o660)
        #expect(info.st_mode & S_IFMT == S_IFREG)
    }

    @Test func aLinkInPlaceOfTheMarkIsNotFollowed() throws {
        // Beside a queue that was never used from elsewhere: at a new one it would hold everybody off.
        try #require(try bench.attempt()).release()
        symlink("somewhere", bench.path + ".remote")
        try lose()
        #expect(access(bench.folder.path("somewhere"), F_OK) != 0)
    }

    @Test func aHeartbeatRewritesTheRecordUntilTheRelease() throws {
        let grant = try #require(try bench.attempt(lease: .seconds(15)))
        grant.recordLease(expires: Timestamp(1_800_000_000_000_000))
        #expect(try bench.status().holders.first?.leaseExpires == Timestamp(1_800_000_000_000_000))
        bench.overwrite([UInt8](repeating: 0x2A, count: 512), at: LeaseBench.offset(ofSlot: 0))
        grant.recordLease(expires: Timestamp(1_800_000_003_000_000))
        #expect(try bench.status().holders.first?.party.host == "desk")
        grant.release()
        let next = try #require(try bench.attempt("next"))
        grant.recordLease(expires: Timestamp(1_800_000_006_000_000))
        #expect(try bench.record(0)?.holder?.token == next.token)
    }

    /// It may still run, and its turn can still be ended: unlike one whose agent is gone.
    @Test func aHolderThatIsNotHeardOfIsShownAsCutOff() throws {
        let grant = try #require(try bench.attempt(lease: .seconds(15)))
        let expires = Timestamp(1_800_000_000_000_000)
        grant.recordLease(expires: expires, isSilent: true)
        let holder = try #require(try bench.status().holders.first)
        #expect(holder.isCutOff)
        #expect(holder.leaseExpires == expires)
        #expect(try bench.attempt() == nil)
        let administration = try Administration(bench.path, create: false)
        #expect(administration.isAlive(holder.ticket.number))
        grant.recordLease(expires: expires)
        #expect(try bench.status().holders.map(\.isCutOff) == [false])
        grant.recordLease(expires: expires, isSilent: true)
        bench.lose(grant)
        #expect(try bench.status().holders.map(\.isCutOff) == [true])
        #expect(!administration.isAlive(holder.ticket.number))
    }

    @Test func aLocalHolderHasNothingToRenew() throws {
        let grant = try #require(try bench.attempt())
        let before = try bench.record(0)
        grant.recordLease(expires: Timestamp(1_800_000_000_000_000))
        #expect(try bench.record(0) == before)
        #expect(try bench.status().holders.first?.leaseExpires == nil)
    }

    @Test func aLeaseThatRanOutWhileItsAgentLivedIsALossAndFreeAtOnce() throws {
        let grant = try #require(try bench.attempt(lease: .seconds(15)))
        grant.release(asLost: true)
        #expect(bench.events("lost") == 1)
        #expect(bench.events("released") == 0)
        #expect(try bench.attempt() != nil)
    }

    @Test func whatAForkedProcessIsToldOfAGrantHasItsLease() throws {
        let grant = try #require(try bench.attempt(lease: .seconds(15)))
        let copy = try #require(
            SlotRecord(line: Array(grant.handover.utf8).drop { $0 != 0x0A }.dropFirst().prefix(512)))
        #expect(copy.holder?.lease == .seconds(15))
    }

    @Test(arguments: [Duration.zero, .seconds(-1), .microseconds(900), .milliseconds(60_001), .seconds(1 << 40)])
    func aLeaseThatMakesNoSenseIsRefused(_ lease: Duration) throws {
        let error = try #require(throws: SemaphoreError.self) { try bench.attempt(lease: lease) }
        #expect(error.code == .usage)
        #expect(try bench.attempt() != nil)
        #expect(try bench.header()?.remote == 0)
    }

    // MARK: lost

    @Test func aLostHoldersSlotIsKeptForItsLease() throws {
        try lose(.seconds(15), "flash")
        #expect(try bench.attempt() == nil)
        let holder = try #require(try bench.status().holders.first)
        #expect(holder.isCutOff)
        #expect(holder.party.description == "flash")
        bench.advance(.milliseconds(14_999))
        #expect(try bench.attempt() == nil)
        #expect(try bench.attempt(lease: .seconds(5)) == nil)
        bench.advance(.milliseconds(1))
        #expect(try bench.status().holders.isEmpty)
        let next = try #require(try bench.attempt())
        #expect(next.slot == 0)
        #expect(bench.events("lost") == 1)
        #expect(bench.events("granted") == 2)
    }

    /// Whoever died may have been renewed until just now: how long ago nobody knows.
    @Test func itsLeaseIsCountedFromWhenItIsMissed() throws {
        try lose()
        bench.advance(.seconds(3600))
        #expect(try bench.attempt() == nil)
        bench.advance(.seconds(15))
        #expect(try bench.attempt() != nil)
    }

    @Test func lookingDoesNotCount() throws {
        try lose()
        #expect(try bench.status().holders.map(\.isCutOff) == [true])
        bench.advance(.seconds(16))
        #expect(try bench.status().holders.map(\.isCutOff) == [true])
        guard case .held? = try bench.record(0)?.state else {
            Issue.record("status has changed the record")
            return
        }
    }

    @Test func anOrderlyEndFreesTheSlotAtOnce() throws {
        try #require(try bench.attempt(lease: .seconds(15))).release()
        #expect(try bench.attempt(lease: .seconds(15)) != nil)
    }

    @Test func aPurelyLocalQueueWaitsForNothing() throws {
        bench.lose(try #require(try bench.attempt()))
        let next = try #require(try bench.attempt())
        #expect(bench.events("lost") == 1)
        #expect(access(bench.path + ".remote", F_OK) != 0)
        #expect(try bench.header()?.remote == 0)
        _ = next
    }

    @Test func aLocalHolderThatIsLostKeepsNothingWhereOthersHaveLeases() throws {
        try #require(try bench.attempt(lease: .seconds(15))).release()
        bench.lose(try #require(try bench.attempt()))
        #expect(try bench.attempt() != nil)
    }

    @Test func afterARebootTheLeaseIsWaitedForOnce() throws {
        try lose()
        #expect(try bench.attempt() == nil)
        bench.reboot(uptime: .seconds(61))
        #expect(try bench.attempt() != nil, "the machine has run for longer than any lease")
    }

    @Test(arguments: [nil, Duration.seconds(15)])
    func rightAfterARebootNobodyIsGranted(_ lease: Duration?) throws {
        try #require(try bench.attempt(lease: .seconds(15))).release()
        bench.reboot()
        #expect(try bench.attempt(lease: lease) == nil)
        #expect(try bench.status().heldOffUntil != nil)
        bench.advance(.milliseconds(59_999))
        #expect(try bench.attempt(lease: lease) == nil)
        bench.advance(.milliseconds(1))
        #expect(try bench.attempt(lease: lease) != nil)
        #expect(try bench.status().heldOffUntil == nil)
    }

    // MARK: several slots

    @Test func otherSlotsAreGrantedMeanwhile() throws {
        _ = try Administration(bench.path, create: true).setConcurrency(2)
        try lose()
        let other = try #require(try bench.attempt())
        #expect(other.slot == 1)
        #expect(try bench.attempt() == nil)
        #expect(try bench.status().holders.map(\.isCutOff) == [true, false])
        bench.advance(.seconds(15))
        #expect(try bench.attempt()?.slot == 0)
    }

    @Test func aTombstoneBeyondALoweredConcurrencyCounts() throws {
        _ = try Administration(bench.path, create: true).setConcurrency(2)
        let first = try #require(try bench.attempt())
        try lose()
        #expect(try bench.header()?.remote == 2)
        _ = try Administration(bench.path, create: false).setConcurrency(1)
        first.release()
        #expect(try bench.attempt() == nil)
        bench.advance(.seconds(15))
        #expect(try bench.attempt()?.slot == 0)
    }

    @Test func slotsThatWereNeverUsedAreNotTakenForDamagedOnes() throws {
        _ = try Administration(bench.path, create: true).setConcurrency(1)
        _ = try Administration(bench.path, create: false).setConcurrency(700)
        let first = try #require(try bench.attempt())
        let second = try #require(try bench.attempt(lease: .seconds(15)))
        #expect((first.slot, second.slot) == (0, 1))
        second.release()
        first.release()
        #expect(try bench.attempt() != nil)
        #expect(bench.heldOff.isEmpty)
        #expect(bench.events("held-off") == 0)
    }

    // MARK: who waits

    @Test(arguments: [nil, Duration.seconds(15)])
    func whoeverIsNextWaitsForTheTombstoneAndDoesNotSpin(_ lease: Duration?) throws {
        let holder = try #require(try bench.attempt(lease: .seconds(15)))
        let waiter = try bench.waiter(lease: lease, "next")
        try settled { waiter.observer.waits > 2 }  // blocks for the slot itself
        bench.lose(holder)
        try settled { try bench.status().holders.first?.isCutOff == true && bench.events("lost") == 1 }
        let (waits, start) = (waiter.observer.waits, ContinuousClock.now)
        try settled { waiter.observer.waits >= waits + 3 }
        // The three were begun at least twice 250 ms apart, less what had passed of the first.
        #expect(start.duration(to: .now) >= .milliseconds(400))
        #expect(!waiter.hasEnded)
        bench.advance(.seconds(15))
        #expect(try waiter.granted().slot == 0)
        #expect(bench.events("lost") == 1)
    }

    @Test func aHeadThatStandsStillKeepsNobodyFromFindingTheLoss() throws {
        let holder = try #require(try bench.attempt(lease: .seconds(15)))
        // Locks a place ahead, and never moves.
        let (_, still, _) = try QueueFile.open(bench.path, .init(create: false))
        let ahead = Ticket(priority: 5, number: 900)
        #expect(still.tryLock(.write, LockSpace.placeAndMember(ahead)))
        let waiter = try bench.waiter("second")
        bench.lose(holder)
        try settled { bench.events("lost") == 1 }
        #expect(!waiter.hasEnded)
        still.unlockAll()
        bench.advance(.seconds(15))
        _ = try waiter.granted()
    }

    // MARK: damage

    private func damaged(_ damage: String) throws {
        var size = stat()
        stat(bench.path, &size)
        let garbage = [UInt8](repeating: UInt8(ascii: "x"), count: Int(size.st_size))
        switch damage {
        case "all": bench.overwrite(garbage, at: 0)
        case "the header": bench.overwrite(Array(garbage[..<1024]), at: 0)
        case "the slot": bench.overwrite(Array(garbage[..<512]), at: LeaseBench.offset(ofSlot: 0))
        case "one byte of the slot": bench.overwrite([0x21], at: LeaseBench.offset(ofSlot: 0) + 100)
        case "emptied": truncate(bench.path, 0)
        case "cut to the header": truncate(bench.path, 1024)
        default: truncate(bench.path, 0); bench.overwrite(Array("one line\n".utf8), at: 0)
        }
    }

    @Test(arguments: ["the header", "the slot", "one byte of the slot", "emptied", "cut to the header"])
    func damageToARemoteQueueHoldsEverybodyOffOnce(_ damage: String) throws {
        try lose()
        try damaged(damage)
        #expect(try bench.attempt() == nil)
        #expect(bench.heldOff == [.seconds(60)])
        #expect(bench.events("held-off") == 1)
        #expect(try bench.status().heldOffUntil != nil)
        bench.advance(.milliseconds(59_999))
        #expect(try bench.attempt() == nil)
        bench.advance(.milliseconds(1))
        let next = try bench.attempt()
        #expect(next != nil)
        #expect(bench.heldOff == [.seconds(60)])
        #expect(bench.events("held-off") == 1)
        #expect(try bench.status().heldOffUntil == nil)
        next?.release()
        #expect(try bench.attempt(lease: .seconds(15)) != nil)
    }

    @Test(arguments: ["all", "one line"])
    func whatLooksLikeSomebodyElsesFileIsRefusedAndNotTaken(_ damage: String) throws {
        try lose()
        try damaged(damage)
        let error = try #require(throws: SemaphoreError.self) { try bench.attempt() }
        #expect(error.code == .unusable)
    }

    /// While somebody waits, the file is known to be a queue whatever stands in it.
    @Test(arguments: ["all", "the header", "the slot", "emptied", "cut to the header", "one line"])
    func damageWhileSomebodyWaitsHoldsThemOff(_ damage: String) throws {
        let holder = try #require(try bench.attempt(lease: .seconds(15)))
        let waiter = try bench.waiter("next")
        try settled { waiter.observer.waits > 2 }
        try damaged(damage)
        bench.lose(holder)
        try settled { waiter.observer.holdoffs == [.seconds(60)] }
        bench.advance(.milliseconds(59_999))
        let waits = waiter.observer.waits
        try settled { waiter.observer.waits >= waits + 2 }
        #expect(!waiter.hasEnded)
        bench.advance(.milliseconds(1))
        _ = try waiter.granted()
        #expect(waiter.observer.holdoffs == [.seconds(60)])
    }

    @Test(arguments: ["the header", "the slot", "one byte of the slot", "emptied", "cut to the header"])
    func damageToAPurelyLocalQueueIsWaitedForByNobody(_ damage: String) throws {
        bench.lose(try #require(try bench.attempt()))
        try damaged(damage)
        #expect(try bench.attempt() != nil)
        #expect(bench.heldOff.isEmpty)
    }

    /// The file was emptied and the holder lives: what it holds is read again once it is lost.
    @Test func aRecoveredHeaderKnowsOfTheSlotsThatAreHeld() throws {
        _ = try Administration(bench.path, create: true).setConcurrency(3)
        let others = [try #require(try bench.attempt()), try #require(try bench.attempt())]
        let holder = try #require(try bench.attempt(lease: .seconds(15)))
        #expect(holder.slot == 2)
        try damaged("emptied")
        #expect(try bench.attempt() == nil)
        #expect(try bench.header()?.remote == 3)
        for other in others { other.release() }
        bench.advance(.seconds(60))
        holder.recordLease(expires: .now())
        bench.lose(holder)
        #expect(try bench.attempt() == nil)
        #expect(try bench.status().holders.map(\.isCutOff) == [true])
        bench.advance(.seconds(15))
        #expect(try bench.attempt() != nil)
    }

    /// An older header than the records: they are believed.
    @Test func aRemoteRecordThatTheHeaderDoesNotKnowOfIsKeptToo() throws {
        try lose()
        var header = try #require(try bench.header())
        (header.remote, header.remoteBoot) = (0, 0)
        bench.overwrite(header.line + header.line, at: 0)
        #expect(try bench.attempt() == nil)
        #expect(try bench.attempt() == nil)
        bench.advance(.seconds(15))
        #expect(try bench.attempt() != nil)
    }

    @Test func withoutAMarkNobodyFromElsewhereIsLetIn() throws {
        // The queue's name fits, and the mark's does not.
        let path = bench.folder.path(String(repeating: "n", count: 250))
        defer { unlink(path) }
        let error = try #require(throws: SemaphoreError.self) {
            try Member.acquire(
                path, bench.request(lease: .seconds(15), limit: .zero), alarm: Alarm(), observer: Unobserved())
        }
        #expect(error.code == .io)
        #expect(error.message.contains(path + ".remote"))
        let local = try Member.acquire(path, bench.request(limit: .zero), alarm: Alarm(), observer: Unobserved())
        guard case .granted = local else {
            Issue.record("the local one was not let in: \(local)")
            return
        }
    }
}
