import Testing

@testable import SemQueue

/// Numbers that no `semq` writes, from a host that means harm or a file that somebody has damaged: whatever is reckoned
/// with them, nothing overflows.
@Suite struct ExtremesTests {
    static let numbers: [Int64] = [
        .min, .min + 1, -(1 << 62), -1, 0, 1, 1 << 40, 1 << 53, (1 << 62) - 1, 1 << 62, .max - 1, .max,
    ]
    private static let now = Timestamp(1_796_000_000_000_000)

    // MARK: the wire

    /// Each message that a status is made of, with one of its numbers at a time.
    @Test func aStatusFromAnotherHost() throws {
        let party = "ticket=1 priority=0 pid=1 host=h user=u description=x"
        let messages = [
            "queue concurrency=1 recovered=0 paused-by=a paused-since=1 paused-reason=r held-off=1",
            "holder slot=0 token=1 since=1 lease-expires=1 nested=since=1%20pid=1%20host=h%20user=u%20description=d \(party)",
            "waiter since=1 stopped=0 cut-off=0 \(party)", "place ahead=1",
        ]
        for (index, text) in messages.enumerated() {
            for variant in Self.variants(text) {
                let place = RemotePlace("bench:q")
                var assembly = QueueStatus.Assembly()
                let sent = (0..<messages.count).map { $0 == index ? variant : messages[$0] } + ["end"]
                for message in try Self.read(sent) {
                    place.take(message)
                    guard let status = assembly.take(message, semaphore: "bench:q") else { continue }
                    Self.reckon(status)
                }
                #expect((0...1_000_000).contains(place.ahead()))
                Self.reckon(place.holders())
            }
        }
    }

    /// The text with each of its numbers in turn, and all at once, put to the ends.
    private static func variants(_ text: String) -> [String] {
        let words = text.split(separator: " ").map(String.init)
        let indices = words.indices.filter { words[$0].last.map(\.isNumber) == true }
        return numbers.flatMap { number in
            func with(_ changed: [Int]) -> String {
                words.indices.map { index in
                    changed.contains(index) ? "\(words[index].prefix { $0 != "=" })=\(number)" : words[index]
                }.joined(separator: " ")
            }
            return indices.map { with([$0]) } + [with(indices)]
                + [text.replacing("since=1%20", with: "since=\(number)%20")]
        }
    }

    private static func read(_ lines: [String]) throws -> [Message] {
        var reader = MessageReader()
        reader.append(Array((lines.joined(separator: "\n") + "\n").utf8)[...])
        var messages: [Message] = []
        while let message = try reader.next() { messages.append(message) }
        return messages
    }

    /// All that is done with the numbers of a status.
    private static func reckon(_ status: QueueStatus) {
        let times =
            status.holders.flatMap { [$0.since, $0.leaseExpires].compactMap { $0 } + $0.nested.map(\.since) }
            + status.waiting.map(\.since) + [status.paused?.since, status.heldOffUntil].compactMap { $0 }
        for time in times { reckon(time) }
        #expect(status.messages.allSatisfy { $0.lineLength <= Message.longestLine })
        _ = status.concurrency + 1
        for holder in status.holders { _ = holder.slot + 1 }
    }

    private static func reckon(_ time: Timestamp) {
        let age = time.age(at: now)
        #expect(age.nanoseconds / 1000 == now.microseconds - time.microseconds)
        _ = (now.age(at: time).nanoseconds, time.rfc3339, time.rfc3339Precise, time.local(relativeTo: now))
    }

    @Test(arguments: numbers) func aTimeIsReckonedWith(_ number: Int64) {
        Self.reckon(Timestamp(number))
        let finding = Diagnosis.Finding.clocks(
            theirs: Timestamp(number), asked: Self.now, answered: Timestamp(Self.now.microseconds + 1000))
        #expect(!finding.text.isEmpty)
    }

    @Test(arguments: numbers) func whatACountIs(_ number: Int64) throws {
        let message = Message("x", [("n", "\(number)")])
        #expect((0...1_000_000).contains(try #require(message.count("n"))))
        #expect((.zero..<(.seconds(31_536_000))).contains(message.duration("n") ?? .zero))
        var window = Window()
        _ = window.number("in")
        window.delivered(upTo: number)
        _ = window.accepts(message)
        let again = window.again(after: number)
        #expect(again.count <= 1)
        var lease = ClientLease(length: .seconds(15), at: .zero)
        let isAnswered = lease.answered(number)
        #expect(!isAnswered)
        var readiness = Readiness(length: .seconds(15))
        readiness.answered(number, at: .zero)
        #expect(!readiness.isConfirmed)
    }

    // MARK: the file

    private static func line(_ kind: StaticString, _ fill: (inout Line.Writer) -> Void) -> [UInt8] {
        var writer = Line.Writer(kind)
        writer.queue(7)
        fill(&writer)
        return writer.finish()
    }

    private static let times = [BootTime(boot: 7, milliseconds: 0), BootTime(boot: 8, milliseconds: 1 << 50)]

    @Test(arguments: numbers, numbers) func aHeader(_ number: Int64, _ other: Int64) {
        let line = Self.line("queue") {
            $0.field("concurrency", 1)
            $0.field("by", "created")
            $0.field("ticket", 1)
            $0.field("token", number)
            $0.field("passed", "")
            $0.field("remote", 1)
            $0.boot(7)
            $0.field("until", other)
            $0.boot(7)
            $0.field("paused", other)
            $0.field("pausedby", "ann")
            $0.text("r")
        }
        guard var header = Header(line: line[...]) else { return }
        #expect(header.nextToken(at: Self.now) >= Self.now.microseconds)
        for time in Self.times { _ = Tombstones(header, [], held: [0], at: time) }
        header.drew(number)
        header.pause.map { Self.reckon($0.since) }
        _ = header.line
    }

    @Test(arguments: numbers, numbers) func aSlot(_ number: Int64, _ other: Int64) throws {
        for (slot, token, lease) in [(0, 1, 5000), (number, 1, 5000), (0, number, 5000), (0, 1, number)]
            as [(Int64, Int64, Int64)]
        {
            let line = Self.line("slot") {
                $0.field("slot", slot)
                $0.field("state", "dead")
                $0.field("ticket", 1)
                $0.field("priority", 0)
                $0.field("token", token)
                $0.field("since", number)
                $0.field("lease", lease)
                $0.field("expires", other)
                $0.field("silent", 1)
                $0.field("until", other)
                $0.boot(7)
                $0.party(Party(pid: 1, host: "h", user: "u", description: "d"))
            }
            var header = Header(queue: 7)
            header.remote = 1
            for time in Self.times {
                let found = Tombstones(header, line, held: [], at: time)
                if case let longest = Duration.milliseconds(Message.longestDuration), other < 1 << 50 {
                    #expect((found.keptFor ?? .zero) <= max(longest, .milliseconds(other)))
                }
            }
            guard let record = SlotRecord(line: line[...]) else { continue }
            _ = QueueFile.slotLines.lowerBound + record.slot
            record.lastHolder.map { Self.reckon($0.since) }
            record.lastHolder?.expires.map(Self.reckon)
            _ = record.line
        }
    }

    @Test(arguments: numbers) func aNote(_ number: Int64) throws {
        let line = Self.line("note") {
            $0.field("ticket", 1)
            $0.field("priority", 0)
            $0.field("grace", number)
            $0.field("by", "ann")
            $0.text("r")
        }
        let note = try #require(Note(line: line[...]))
        #expect((0...Message.longestDuration).contains(note.grace))
    }

    @Test(arguments: numbers) func aTokenIsDrawn(_ number: Int64) {
        var header = Header(queue: 7)
        header.lastToken = max(0, number)
        let next = header.nextToken(at: Self.now)
        #expect(number == .max ? next == Self.now.microseconds : next > number && next >= Self.now.microseconds)
    }
}
