import Testing

@testable import SemQueue

/// Waiters on behalf of another host: asked before they are granted, and out of the way while they are cut off.
@Suite struct AsideTests {
    private let bench = LeaseBench()
    private let lease = Duration.seconds(15)

    private func settled(_ condition: () throws -> Bool) throws { try LeaseWaiter.settled(condition) }

    private func names() throws -> [String] { try bench.status().waiting.map(\.party.description) }

    private func stopped() throws -> [String] {
        try bench.status().waiting.filter(\.isStopped).map(\.party.description)
    }

    // MARK: asked

    @Test func whoeverGoesStraightThroughIsNotAsked() throws {
        let observer = LeaseObserver(otherwise: false)
        let outcome = try Member.acquire(
            bench.path, bench.request(lease: lease), alarm: Alarm(), observer: observer, clock: bench.clock)
        guard case .granted = outcome else {
            Issue.record("not granted: \(outcome)")
            return
        }
        #expect(observer.asked == 0)
    }

    @Test func whoeverHasWaitedIsAskedOnceAndGranted() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w", asks: true)
        #expect(waiter.observer.asked == 0)
        holder.release()
        try settled { waiter.observer.asked == 1 }
        #expect(!waiter.hasEnded)
        #expect(try bench.attempt() == nil, "the slot is at hand for one already")
        #expect(try bench.status().holders.map(\.party) == [.asked])
        waiter.observer.answer(true)
        let grant = try waiter.granted()
        #expect(waiter.observer.asked == 1)
        #expect(try bench.record(0)?.holder?.token == grant.token)
        #expect(try bench.record(0)?.holder?.lease == lease)
    }

    @Test func aLocalWaiterIsNotAsked() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter("w", confirming: false)
        holder.release()
        _ = try waiter.granted()
        #expect(waiter.observer.asked == 0)
    }

    @Test(arguments: [1, 3]) func whoeverDoesNotAnswerLeavesTheSlotToTheNext(_ concurrency: Int) throws {
        _ = try Administration(bench.path, create: true).setConcurrency(concurrency)
        let holders = try (0..<concurrency).map { _ in try #require(try bench.attempt()) }
        let first = try bench.waiter(lease: lease, "first", asks: true)
        let second = try bench.waiter("second")
        holders.last?.release()
        try settled { first.observer.asked == 1 }
        #expect(!second.hasEnded)
        first.observer.stand(.aside)
        first.observer.answer(false)
        let grant = try second.granted()
        #expect(grant.slot == concurrency - 1)
        #expect(try names() == ["first"])
        #expect(try stopped() == ["first"])
        grant.release()
        // Nobody waits any more, and it does not ask itself in again.
        let passing = try #require(try bench.attempt())
        passing.release()
        #expect(first.observer.asked == 1)
        first.stand(.inLine)
        try settled { first.observer.asked == 2 }
        first.observer.answer(true)
        #expect(try first.granted().slot == concurrency - 1)
    }

    /// One that says no and yet stays in line is asked again, after a while.
    @Test func aRefusalIsNoEndlessQuestion() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w", confirming: false)
        holder.release()
        try settled { waiter.observer.asked >= 1 }
        let (asked, start) = (waiter.observer.asked, ContinuousClock.now)
        try settled { waiter.observer.asked >= asked + 2 }
        #expect(start.duration(to: .now) >= .milliseconds(200))
        // Meanwhile it is in nobody's way.
        try settled { try bench.attempt() != nil }
        waiter.alarm.ring()
        guard case .cancelled = try waiter.ended() else {
            Issue.record("it was not cancelled")
            return
        }
    }

    @Test func theUrgentWhoComesMeanwhileGoesFirst() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w", asks: true)
        holder.release()
        try settled { waiter.observer.asked == 1 }
        let urgent = try bench.waiter(priority: 9, "urgent")
        waiter.observer.answer(true)
        let grant = try urgent.granted()
        #expect(!waiter.hasEnded)
        #expect(try names() == ["w"])
        grant.release()
        try settled { waiter.observer.asked == 2 }
        waiter.observer.answer(true)
        _ = try waiter.granted()
    }

    @Test func aPauseMeanwhileCounts() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w", asks: true)
        holder.release()
        try settled { waiter.observer.asked == 1 }
        _ = try Administration(bench.path, create: false).pause(reason: "probe")
        waiter.observer.answer(true)
        let waits = waiter.observer.waits
        try settled { waiter.observer.waits >= waits + 2 }
        #expect(!waiter.hasEnded)
        #expect(try bench.status().holders.isEmpty)
        _ = try Administration(bench.path, create: false).resume()
        try settled { waiter.observer.asked == 2 }
        waiter.observer.answer(true)
        _ = try waiter.granted()
    }

    @Test func aLoweredConcurrencyMeanwhileCounts() throws {
        _ = try Administration(bench.path, create: true).setConcurrency(2)
        let holders = [try #require(try bench.attempt()), try #require(try bench.attempt())]
        let waiter = try bench.waiter(lease: lease, "w", asks: true)
        holders[1].release()
        try settled { waiter.observer.asked == 1 }
        _ = try Administration(bench.path, create: false).setConcurrency(1)
        holders[0].release()
        waiter.observer.answer(true)
        try settled { waiter.observer.asked == 2 }
        waiter.observer.answer(true)
        #expect(try waiter.granted().slot == 0)
    }

    @Test func cancelledWhileAskedItLeavesNothingBehind() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w", asks: true)
        holder.release()
        try settled { waiter.observer.asked == 1 }
        waiter.alarm.ring()
        waiter.observer.answer(true)
        guard case .cancelled = try waiter.ended() else {
            Issue.record("it was not cancelled")
            return
        }
        #expect(try names().isEmpty)
        #expect(try bench.attempt() != nil)
        #expect(bench.events("lost") == 0)
    }

    /// Somebody who stands still ahead is passed, with the answer of the client in between.
    @Test func withSeveralSlotsTheAnswerCountsForTheOneAtHand() throws {
        _ = try Administration(bench.path, create: true).setConcurrency(2)
        let holders = [try #require(try bench.attempt()), try #require(try bench.attempt())]
        let first = try bench.waiter(lease: lease, "first", asks: true)
        let second = try bench.waiter(lease: lease, "second", asks: true)
        for holder in holders { holder.release() }
        try settled { first.observer.asked == 1 }
        #expect(second.observer.asked == 0, "it is not at the head")
        first.observer.answer(true)
        let one = try first.granted()
        try settled { second.observer.asked == 1 }
        second.observer.answer(true)
        #expect(try second.granted().slot != one.slot)
    }

    // MARK: aside

    @Test func aCutOffWaiterKeepsItsTicketAndBlocksNobody() throws {
        var holder = try bench.attempt()
        let first = try bench.waiter(lease: lease, "first")
        let second = try bench.waiter("second")
        let third = try bench.waiter("third")
        let ticket = try #require(try bench.status().waiting.first?.ticket)
        first.stand(.aside)
        try settled { try stopped() == ["first"] }
        #expect(try names() == ["first", "second", "third"])
        holder?.release()
        holder = try second.granted()
        #expect(!first.hasEnded && !third.hasEnded)
        first.stand(.inLine)
        try settled { try stopped().isEmpty }
        #expect(try bench.status().waiting.map(\.ticket).first == ticket)
        holder?.release()
        let grant = try first.granted()
        #expect(grant.ticket == ticket)
        #expect(!third.hasEnded)
        grant.release()
        _ = try third.granted()
    }

    @Test func whoeverIsAsideIsNotGrantedThoughNobodyElseWaits() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w")
        try settled { waiter.observer.waits > 2 }
        waiter.stand(.aside)
        try settled { try stopped() == ["w"] }
        holder.release()
        let waits = waiter.observer.waits
        try settled { waiter.observer.waits >= waits + 2 }
        #expect(try bench.status().holders.isEmpty)
        #expect(waiter.observer.asked == 0)
        waiter.stand(.inLine)
        _ = try waiter.granted()
    }

    /// A successor was stopped with its short read lock on the place of one who was aside, or had been stopped.
    @Test func aPlaceThatSomebodyStandsStillWithIsGrantedWithout() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w")
        waiter.stand(.aside)
        try settled { try stopped() == ["w"] }
        let ticket = try #require(try bench.status().waiting.first?.ticket)
        let successor = try QueueFile.open(bench.path, .init(create: false)).1
        try #require(successor.tryLock(.read, LockSpace.place(ticket)))
        waiter.stand(.inLine)
        holder.release()
        let grant = try waiter.granted()
        #expect(grant.ticket == ticket && grant.loss() == nil)
        grant.release()
    }

    /// It has its place again as soon as it can be had.
    @Test func aPlaceThatSomebodyStoodStillWithIsHadAgain() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w")
        waiter.stand(.aside)
        try settled { try stopped() == ["w"] }
        let ticket = try #require(try bench.status().waiting.first?.ticket)
        let successor = try QueueFile.open(bench.path, .init(create: false)).1
        try #require(successor.tryLock(.read, LockSpace.place(ticket)))
        waiter.stand(.inLine)
        let waits = waiter.observer.waits
        try settled { waiter.observer.waits >= waits + 2 }
        #expect(try stopped() == ["w"], "it goes on without")
        successor.unlock(LockSpace.place(ticket))
        try settled { try stopped().isEmpty }
        holder.release()
        try waiter.granted().release()
    }

    @Test func whoeverIsAsideCanBeTakenOut() throws {
        let holder = try #require(try bench.attempt())
        let waiter = try bench.waiter(lease: lease, "w")
        waiter.stand(.aside)
        try settled { try stopped() == ["w"] }
        let ticket = try #require(try bench.status().waiting.first?.ticket)
        let subject = try Administration(bench.path, create: false, by: "bob@desk2")
            .remove(ticket: ticket.number, reason: "enough", grace: .zero)
        #expect(subject == .waiter(Party(pid: 4242, host: "desk", user: "ann", description: "w")))
        guard case .removed(by: "bob@desk2", reason: "enough") = try waiter.ended() else {
            Issue.record("it was not taken out")
            return
        }
        #expect(try names().isEmpty)
        holder.release()
        #expect(History(of: bench.path).lines().contains { $0.contains(#""by": "bob@desk2""#) })
    }

    @Test func asideAndBackManyTimesLosesNeitherPlaceNorSlot() throws {
        var holder = try #require(try bench.attempt())
        for round in 0..<60 {
            let waiter = try bench.waiter(lease: lease, "w")
            let behind = try bench.waiter("behind")
            waiter.stand(.aside)
            if round.isMultiple(of: 2) { holder.release() }
            waiter.stand(.inLine)
            if !round.isMultiple(of: 2) { holder.release() }
            // Which of the two is first depends on the instant; both get their turn.
            try settled { waiter.hasEnded || behind.hasEnded }
            let (first, second) = waiter.hasEnded ? (waiter, behind) : (behind, waiter)
            let grant = try first.granted()
            #expect(!second.hasEnded)
            grant.release()
            holder = try second.granted()
        }
        holder.release()
        #expect(try bench.status().holders.isEmpty)
        #expect(try names().isEmpty)
        #expect(bench.events("lost") == 0)
    }

    @Test func anAnswerForAnotherIsRecordedAsTheirs() throws {
        _ = try Administration(bench.path, create: true, by: "carl@desk3").pause(reason: "probe")
        #expect(try bench.status().paused?.by == "carl@desk3")
        _ = try Administration(bench.path, create: false).resume()
        let own = "\(LocalHost.user)@\(LocalHost.name)"
        #expect(History(of: bench.path).lines().last?.contains(own) == true)
    }
}
