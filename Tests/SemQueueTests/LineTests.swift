import Testing

@testable import SemQueue

/// A record is one line that nothing can forge, tear or split.
@Suite struct LineTests {
    private func waiter(_ description: String) -> WaiterRecord {
        WaiterRecord(
            queue: 0xABCD, ticket: Ticket(priority: -3, number: 17), since: Timestamp(1_700_000_000_000_000),
            party: Party(pid: 42, host: "bench 1", user: "ann=%x", description: description))
    }

    @Test(arguments: [
        "flash.sh --all", "", "two\nlines", "\u{1b}[31mred", "100 % ticket=9 pid=1", "ümläut ✓ 漢字",
        "ends in spaces   x",
        "semq1 slot state=held", "\u{7f}\0\r\t",
    ])
    func comesBackAsItWent(_ description: String) {
        let line = waiter(description).line
        #expect(line.count == Line.length)
        #expect(line.firstIndex(of: 0x0A) == Line.length - 1)
        #expect(!line.dropLast().contains { $0 < 0x20 || $0 == 0x7f })
        #expect(WaiterRecord(line: line[...]) == waiter(description))
        var remote = waiter(description)
        remote.agent = 4711
        #expect(WaiterRecord(line: remote.line[...]) == remote)
    }

    /// What is counted are the records that stand there, and nothing that looks a little like one.
    @Test func ticketsAreReadWithoutTheRest() {
        var second = waiter("x")
        second.ticket = Ticket(priority: 7, number: (1 << 40) - 1)
        second.agent = 4711
        let blank = [UInt8](repeating: 0x20, count: Line.length)
        var cut = waiter("y").line
        cut.replaceSubrange(38..<120, with: [UInt8](repeating: 0x20, count: 82))
        var other = waiter("z").line
        other[7] = UInt8(ascii: "W")
        for number in [0, Ticket.numbers.upperBound] {
            var beyond = waiter("none draws it")
            beyond.ticket = Ticket(priority: 0, number: number)
            other += beyond.line
        }
        let lines = waiter("ticket=99").line + blank + second.line + cut + other + waiter("torn").line.prefix(200)
        #expect(WaiterRecord.tickets(in: lines) == [waiter("").ticket, second.ticket])
        #expect(WaiterRecord.tickets(in: []).isEmpty)
        #expect(WaiterRecord.tickets(in: [UInt8](repeating: 0xff, count: 4096)).isEmpty)
    }

    @Test func aLongTextIsCutWithinTheLineAtACharacter() throws {
        for length in 300...520 {
            let line = waiter(String(repeating: "é", count: length)).line
            #expect(line.count == Line.length)
            let read = try #require(WaiterRecord(line: line[...])).party.description
            #expect(read.allSatisfy { $0 == "é" || $0 == "…" })
        }
    }

    @Test func aLongHostOrUserIsCutAndLeavesRoomForTheRest() throws {
        var record = waiter("why")
        record.party.host = String(repeating: "h%", count: 300)
        record.party.user = String(repeating: "\n", count: 300)
        let read = try #require(WaiterRecord(line: record.line[...]))
        #expect(read.party.description == "why")
        #expect(read.party.host.hasSuffix("…"))
    }

    @Test func anyChangedByteIsNoticed() {
        let line = waiter("flash").line
        for index in line.indices {
            var damaged = line
            damaged[index] ^= 0x15
            let read = WaiterRecord(line: damaged[...])
            // Padding carries nothing: a changed space there makes another, longer content.
            #expect(read == nil, "byte \(index)")
        }
    }

    @Test func aTornLineIsNoRecord() {
        let (old, new) = (waiter("first command").line, waiter("second one").line)
        for cut in stride(from: 8, to: Line.length, by: 8) {
            let torn = Array(new[..<cut] + old[cut...])
            let read = WaiterRecord(line: torn[...])
            #expect(read == nil || read == waiter("first command") || read == waiter("second one"))
        }
    }

    @Test func oneKindIsNotReadAsAnother() {
        #expect(SlotRecord(line: waiter("x").line[...]) == nil)
        #expect(Header(line: waiter("x").line[...]) == nil)
    }

    @Test func headersComeBackAsTheyWent() throws {
        var header = Header(queue: .max, concurrency: 7, origin: .set, lastTicket: 99, lastToken: 1 << 50)
        #expect(Header(line: header.line[...]) == header)
        header.pause = Header.Pause(by: "ann@ws7", since: Timestamp(5), reason: "changing the probe\nback at 3")
        #expect(Header(line: header.line[...]) == header)
        header.passed = (1...8).map { Ticket(priority: -1000, number: (1 << 40) - $0) }
        header.pause?.by = String(repeating: "b", count: 500)
        let full = Header(line: header.line[...])
        #expect(full?.passed == header.passed)
        #expect(full?.pause?.reason.hasPrefix("changing the probe") == true)
        (header.remote, header.remoteBoot) = (1024, .max)
        header.holdoff = Expiry(boot: .max, until: .max)
        header.concurrency = 1024
        header.lastTicket = (1 << 40) - 1
        header.lastToken = .max
        header.origin = .recovered
        let fullest = try #require(Header(line: header.line[...]))
        #expect(fullest.passed == header.passed)
        #expect((fullest.remote, fullest.remoteBoot) == (1024, .max))
        #expect(fullest.holdoff == header.holdoff)
        #expect(fullest.pause?.reason.hasPrefix("chang") == true)
    }

    @Test func aQueueThatWasNeverUsedFromElsewhereSaysNothingOfIt() {
        let line = String(decoding: Header(queue: 1).line, as: UTF8.self)
        #expect(!line.contains("remote") && !line.contains("boot") && !line.contains("until"))
    }

    @Test func headersWithoutAHoldoffComeBackAsTheyWent() {
        let header = Header(queue: 1, remote: 3, remoteBoot: 7)
        #expect(Header(line: header.line[...]) == header)
    }

    /// What an older one writes has no `silent`, or 1; it takes a 0 as it takes none.
    @Test func aHolderOfAnOlderOneHasNoSecret() throws {
        let holder = SlotRecord.Holder(
            ticket: Ticket(priority: 5, number: 1), token: 77, since: Timestamp(1), party: waiter("why").party)
        let line = SlotRecord(queue: 1, slot: 3, holder: holder).line
        #expect(String(decoding: line, as: UTF8.self).contains(" since=1 silent=0 pid=42 "))
        var older = holder
        older.isProved = false
        let olderLine = SlotRecord(queue: 1, slot: 3, holder: older).line
        #expect(!String(decoding: olderLine, as: UTF8.self).contains("silent"))
        #expect(SlotRecord(line: line[...])?.holder == holder && SlotRecord(line: olderLine[...])?.holder == older)
    }

    @Test func slotsComeBackAsTheyWent() {
        var record = SlotRecord(queue: 1, slot: 3, holder: nil)
        #expect(SlotRecord(line: record.line[...]) == record)
        var holder = SlotRecord.Holder(
            ticket: Ticket(priority: 5, number: 1), token: 77, since: Timestamp(1), party: waiter("why").party)
        record.state = .held(holder)
        #expect(SlotRecord(line: record.line[...]) == record)
        #expect(!String(decoding: record.line, as: UTF8.self).contains("lease"))
        holder.lease = .seconds(15)
        record.state = .held(holder)
        #expect(SlotRecord(line: record.line[...]) == record)
        holder.expires = Timestamp(1_700_000_015_000_000)
        record.state = .held(holder)
        #expect(SlotRecord(line: record.line[...]) == record)
        holder.isSilent = true
        record.state = .held(holder)
        #expect(SlotRecord(line: record.line[...]) == record)
        record.state = .dead(holder, Expiry(boot: .max - 5, until: 1 << 40))
        #expect(SlotRecord(line: record.line[...]) == record)
        #expect(record.holder == nil)
        #expect(record.lastHolder == holder)
    }

    @Test func valuesOutOfRangeAreNoRecord() {
        var writer = Line.Writer("queue")
        writer.queue(1)
        writer.field("concurrency", 0)
        #expect(Header(line: writer.finish()[...]) == nil)
    }
}
