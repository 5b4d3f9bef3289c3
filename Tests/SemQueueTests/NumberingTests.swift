import Testing

@testable import SemQueue

/// No two tickets have the same number as far as anybody can tell, whatever happens to the header.
@Suite struct NumberingTests {
    @Test func whatIsNamedStillIsNotDrawn() {
        #expect(Numbering.next(after: 0, avoiding: []) == 1)
        #expect(Numbering.next(after: 2, avoiding: [3, 4, 6]) == 5)
        #expect(Numbering.next(after: 5, avoiding: [3, 4, 6]) == 7)
    }

    @Test func numbersBeginAgainPastTheirEnd() {
        let last = Ticket.numbers.upperBound - 1
        #expect(Numbering.next(after: last - 1, avoiding: [last]) == 1)
        #expect(Numbering.next(after: last, avoiding: [1, 2]) == 3)
        var header = Header(queue: 1, lastTicket: 5)
        header.drew(last - 3)
        #expect(header.lastTicket == 5, "one who waits since before they began again")
        header.drew(9)
        #expect(header.lastTicket == 9)
        header.drew(7)
        #expect(header.lastTicket == 9)
    }

    @Test func afterALossTheyGoOnFarAboveWhatIsKnown() {
        let now = Timestamp(1_764_525_355_000_000)
        #expect(Numbering.restart(after: 17, at: now, gap: 1000) == 1_764_526_355)
        #expect(Numbering.restart(after: 1 << 38, at: now, gap: 1000) == 1 << 38 + 1000)
        #expect(Numbering.restart(after: 0, at: Timestamp(0), gap: 1000) == 1000)
        let last = Ticket.numbers.upperBound - 1
        #expect(Numbering.restart(after: last, at: now, gap: 1000) == last, "no header says more")
        for _ in 0..<100 { #expect(Numbering.restart(after: 3, at: now) > 1_764_526_354) }
    }
}

/// What was left for a ticket before the header was lost means none that is drawn after.
@Suite struct NumberingAtRecoveryTests {
    private let bench = LeaseBench()

    private var description: Description {
        get throws { try QueueFile.open(bench.path, .init(create: false)).1 }
    }

    private func leaveNote(for number: Int64) throws {
        let ticket = Ticket(priority: 0, number: number)
        let note = Note(
            queue: try #require(try bench.header()).queue, ticket: ticket, grace: 5000, by: "ann@ws7", reason: "night")
        // Each in its line, as where many were left while those they were for lived.
        let line = QueueFile.noteLines.lowerBound + Int(number % Int64(QueueFile.noteLines.count))
        let first = QueueFile.noteLines.lowerBound
        for line in [first, line] { try #require(QueueFile.write(note.line, at: line, to: try description)) }
    }

    @Test func aNoteOfBeforeIsForNobody() throws {
        try #require(try bench.attempt()).release()
        try leaveNote(for: 3)
        bench.overwrite([UInt8](repeating: 0, count: 2 * Line.length), at: 0)
        for _ in 0..<5 {
            let grant = try #require(try bench.attempt())
            #expect(grant.loss() == nil && grant.ticket.number > 1000)
            grant.release()
        }
    }

    /// An older `semq` recovers a header by what is left of tickets, and knows of no notes.
    @Test func norIsItWhereAnOlderOneHasMadeTheHeaderAnew() throws {
        try #require(try bench.attempt()).release()
        for number: Int64 in [3, 4] { try leaveNote(for: number) }
        var header = try #require(try bench.header())
        (header.lastTicket, header.origin) = (0, .recovered)
        QueueFile.write(header, to: try description)
        let numbers = try (0..<4).map { _ in
            let grant = try #require(try bench.attempt())
            defer { grant.release() }
            #expect(grant.loss() == nil)
            return grant.ticket.number
        }
        #expect(numbers == [1, 2, 5, 6])
    }

    /// The same for those who wait: they look for notes before they are let in, too.
    @Test func whoWaitsIsNotTakenOutByIt() throws {
        let holder = try #require(try bench.attempt())
        try leaveNote(for: 2)
        let waiter = try bench.waiter("after")
        #expect(try (bench.status().waiting.map(\.ticket.number)) == [3])
        holder.release()
        let grant = try waiter.granted()
        #expect(grant.ticket.number == 3 && grant.loss() == nil)
        grant.release()
    }

    /// Who was passed under a number is nobody who comes later.
    @Test func norIsAnybodyPassedForAnother() throws {
        try #require(try bench.attempt()).release()
        var header = try #require(try bench.header())
        header.passed = [Ticket(priority: 5, number: 2)]
        QueueFile.write(header, to: try description)
        let grant = try #require(try bench.attempt())
        #expect(grant.ticket.number == 3)
        grant.release()
    }

    /// One who waits couldn't write the header: its number is taken all the same, and whoever comes next is behind it.
    @Test func whoDrewANumberThatWasNotWrittenDownIsAhead() throws {
        try #require(try bench.attempt()).release()
        let last = try #require(try bench.header()).lastTicket
        let waiter = try description
        let place = LockSpace.placeAndMember(Ticket(priority: 0, number: last + 1))
        try #require(waiter.tryLock(.write, place))
        #expect(try bench.attempt() == nil)
        waiter.unlock(place)
        let grant = try #require(try bench.attempt())
        grant.release()
    }

    /// What is left of one who drew it, couldn't write the header and was killed: whoever comes next would be taken for it.
    @Test func aNumberThatARecordBearsIsNotDrawn() throws {
        try #require(try bench.attempt()).release()
        let header = try #require(try bench.header())
        let number = header.lastTicket + 1
        let (file, description, _) = try QueueFile.open(bench.path, .init(create: false))
        let record = WaiterRecord(
            queue: header.queue, ticket: Ticket(priority: 3, number: number), since: .now(), party: LeaseBench.client)
        let lines = QueueFile.waiterLines
        let line = lines.lowerBound + Int(number % Int64(lines.count))
        try #require(WaiterLine(record, at: line).write(to: Book(file: file, description: description)))
        let grant = try #require(try bench.attempt())
        #expect(grant.ticket.number == number + 1)
        grant.release()
    }

    /// Of different priorities, where the header could not be written in between.
    @Test func twoOfOneNumberAreNotTakenForEachOther() throws {
        try #require(try bench.attempt()).release()
        let administration = try Administration(bench.path, create: false, by: "bob@desk2")
        _ = try administration.setConcurrency(2)
        let first = try #require(try bench.attempt())
        var header = try #require(try bench.header())
        header.lastTicket -= 1
        QueueFile.write(header, to: try description)
        let waiter = try bench.waiter(priority: 5, "urgent")
        let second = try waiter.granted()
        #expect(first.ticket.number == second.ticket.number && first.ticket != second.ticket)
        let error = #expect(throws: SemaphoreError.self) {
            _ = try administration.remove(ticket: first.ticket.number, reason: "which?", grace: .zero)
        }
        #expect(
            error?.message.contains("ticket \(first.ticket.number) is borne by 2, ") == true, "\(error?.message ?? "")")
        #expect(first.loss() == nil && second.loss() == nil)
        // A turn is more than its number.
        let turn = try #require(try bench.record(second.slot))
        #expect(try administration.end(turn, reason: "this one", grace: .zero, asLost: false))
        #expect(first.loss() == nil && second.loss() != nil)
        for grant in [first, second] { grant.release() }
    }
}

/// A header that can't be written is recovered at each look.
@Suite struct UnwrittenHeaderTests {
    private let bench = LeaseBench()

    /// What was found the first time counts: whoever may hold it from elsewhere is waited for once.
    @Test func isRecoveredOnce() throws {
        try #require(try bench.attempt(lease: .seconds(5))).release()
        bench.overwrite([UInt8](repeating: 0, count: 2 * Line.length), at: 0)
        // Read only, so that no write succeeds.
        let (file, description, _) = try QueueFile.open(bench.path, .init(create: false, readOnly: true))
        let book = Book(file: file, description: description, clock: bench.clock)
        guard case .unwritten(let first) = try book.header(concurrency: nil, isMember: true) else {
            Issue.record("it could be written")
            return
        }
        #expect(first.holdoff != nil)
        bench.advance(.seconds(20))
        guard case .unwritten(let second) = try book.header(concurrency: nil, isMember: true, unwritten: first) else {
            Issue.record("it could be written")
            return
        }
        #expect(second == first)
        #expect(bench.events("header-lost") == 1 && bench.events("held-off") == 1)
        // Where somebody could write it, and was granted, it is lost anew.
        let granted = SlotRecord.Holder(
            ticket: Ticket(priority: 0, number: first.lastTicket), token: first.lastToken + 1, since: .now(),
            party: LeaseBench.client)
        let record = SlotRecord(queue: first.queue, slot: 0, state: .held(granted))
        bench.overwrite(record.line, at: LeaseBench.offset(ofSlot: 0))
        guard case .unwritten(let third) = try book.header(concurrency: nil, isMember: true, unwritten: second) else {
            Issue.record("it could be written")
            return
        }
        #expect(third.holdoff != first.holdoff && third.holdoff != nil)
    }

    /// Whose record can't be read may have been granted since, by somebody who could write: it is held off anew.
    @Test func isHeldOffAnewForARecordThatCannotBeRead() throws {
        try #require(try bench.attempt(lease: .seconds(5))).release()
        bench.overwrite([UInt8](repeating: 0, count: 2 * Line.length), at: 0)
        let (file, description, _) = try QueueFile.open(bench.path, .init(create: false, readOnly: true))
        let book = Book(file: file, description: description, clock: bench.clock)
        guard case .unwritten(let first) = try book.header(concurrency: nil, isMember: true) else {
            Issue.record("it could be written")
            return
        }
        bench.advance(.seconds(59))
        bench.overwrite([UInt8](repeating: 0, count: Line.length), at: LeaseBench.offset(ofSlot: 0))
        let (_, writable, _) = try QueueFile.open(bench.path, .init(create: false))
        let other = Book(file: file, description: writable, clock: bench.clock)
        guard case .recovered(let second) = try other.header(concurrency: nil, isMember: true, unwritten: first) else {
            Issue.record("it could not be written")
            return
        }
        #expect(Tombstones.holdoff(second, at: bench.clock()) == Lease.longest)
    }
}
