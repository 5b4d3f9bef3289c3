import Testing

@testable import SemQueue

/// What messages between hosts say of queues, and what people are told of it.
@Suite struct VocabularyTests {
    static func read(_ messages: [Message]) throws -> [Message] {
        var reader = MessageReader()
        var read: [Message] = []
        // As it may come: in pieces of any size.
        for piece in messages.flatMap(\.bytes).chunks(of: 1013) {
            reader.append(piece)
            while let message = try reader.next() { read.append(message) }
        }
        return read
    }

    @Test func aStatusOfAsManyAsMayWaitComesAsItWasSent() throws {
        let text = "é % \n\u{1b}[1m" + String(repeating: "x", count: 400)
        func party(_ number: Int) -> Party { Party(pid: Int32(number), host: "a b", user: "é", description: text) }
        var status = QueueStatus(
            semaphore: "bench:q", concurrency: 1024, isRecovered: true,
            paused: .init(by: "ann@ws 7", since: Timestamp(17), reason: text), heldOffUntil: Timestamp(18), holders: [],
            waiting: [])
        status.holders = (0..<1024).map {
            QueueStatus.Holder(
                slot: $0, ticket: Ticket(priority: -5, number: Int64($0 + 1)), token: 4711, since: Timestamp(19),
                party: party($0), leaseExpires: $0 % 2 == 0 ? nil : Timestamp(20), isCutOff: $0 % 3 == 0,
                isStopped: $0 % 5 == 0,
                isOrphaned: $0 % 7 == 0,
                nested: (0..<($0 % 17)).map {
                    .init(
                        since: Timestamp(22), party: Party(pid: Int32($0), host: "a b", user: "é", description: "x\n%"))
                })
        }
        status.waiting = (0..<4096).map {
            QueueStatus.Waiter(
                ticket: Ticket(priority: 5, number: Int64($0 + 2000)), since: Timestamp(21), party: party($0),
                isStopped: $0 % 2 == 0, isCutOff: $0 % 4 == 0)
        }
        var assembly = QueueStatus.Assembly()
        let messages = try Self.read(status.messages)
        #expect(messages.dropLast().allSatisfy(\.goesOn) && messages.last?.goesOn == false)
        #expect(messages.reduce(0) { $0 + $1.size } < 16 << 20)
        #expect(messages.compactMap { assembly.take($0, semaphore: "bench:q") } == [status])
    }

    /// Whatever people have called things, an older client reads it too.
    @Test(arguments: [" ", "%", "é", "\n", "\u{1b}"], [1, 3, 16, 17, 256])
    func whoRunsNestedIsToldAsFarAsThereIsRoom(_ character: String, _ count: Int) throws {
        let text = String(repeating: character, count: 199) + "x"
        let party = Party(pid: 5, host: text, user: text, description: String(repeating: character, count: 999))
        var status = QueueStatus(
            semaphore: "bench:q", concurrency: 1, isRecovered: false, paused: nil, heldOffUntil: nil, holders: [],
            waiting: [])
        var holder = QueueStatus.Holder(
            slot: 0, ticket: Ticket(priority: 0, number: 1), token: 1, since: Timestamp(1), party: Party.unknown)
        holder.remark = party.description
        holder.nested = (0..<count).map {
            .init(since: Timestamp(Int64($0) + 1), party: Party(pid: 5, host: "ws7", user: "ann", description: text))
        }
        status.holders = [holder]
        var assembly = QueueStatus.Assembly()
        #expect(status.messages.allSatisfy { $0.bytes.count <= 16 << 10 }, "what an older one reads")
        let told = try Self.read(status.messages).compactMap { assembly.take($0, semaphore: "bench:q") }.first
        let nested = try #require(told?.holders.first).nested
        #expect(nested.count <= 16 && nested.first?.party.user == "ann")
        if nested.count < count {
            let named = nested.count { $0.party.user == "ann" }
            #expect(named == nested.count - 1 && nested.last?.party.description == "(and \(count - named) more)")
        }
    }

    @Test func whatIsLongerThanALineIsCutWhereItIsLongest() throws {
        let text = String(repeating: " %", count: 9000)
        let message = Message("error", [("code", "io"), ("errno", "5"), ("text", text)])
        #expect(message.lineLength > Message.longestLine)
        let read = try #require(try Self.read([message.fitting]).first)
        #expect(message.fitting.lineLength <= Message.longestLine)
        #expect(read["code"] == "io" && read["errno"] == "5" && read["text"]?.hasSuffix("…") == true)
        #expect(text.hasPrefix(String(read["text"]!.dropLast())))
    }

    /// An older agent has cut nothing.
    @Test func aLongerLineIsReadAllTheSame() throws {
        let message = Message("holder", [("nested", String(repeating: " %", count: 6000))])
        #expect(message.lineLength > Message.longestLine)
        #expect(try Self.read([message]) == [message])
    }

    @Test(arguments: [
        ("there is no such queue", "q: there is no such queue", "bench:q: there is no such queue"),
        ("a file beside it", "q.history: is a folder", "bench:q.history: is a folder"),
        ("what to type", "q: paused; see: semq status q", "bench:q: paused; see: semq status bench:q"),
        ("no path in front", "quite another thing", "bench:q: quite another thing"),
        ("a path that is a word's start", "queue, what queue?", "bench:q: queue, what queue?"),
    ])
    func anErrorThereNamesTheQueueAsItWasTyped(_ what: String, _ text: String, _ told: String) {
        let error = SemaphoreError(.unusable, text, systemError: 2)
        let received = SemaphoreError(error.asMessage, path: "q", as: "bench:q")
        #expect(received == SemaphoreError(.unusable, told, systemError: 2))
    }

    @Test func textsOfPeopleAreCutBetweenCharacters() {
        let text = String(repeating: "é", count: 600)
        #expect(text.bounded == String(repeating: "é", count: 500) + "…")
        #expect("short".bounded == "short")
    }

    @Test func clocksThatDifferByMoreThanTheQuestionTookAreToldOf() {
        func finding(_ ahead: Int64, _ took: Int64) -> Diagnosis.Finding {
            .clocks(
                theirs: Timestamp(1_000_000_000 + took * 500 + ahead * 1000), asked: Timestamp(1_000_000_000),
                answered: Timestamp(1_000_000_000 + took * 1000))
        }
        #expect(finding(0, 10).text == "within 0.1 s of each other")
        #expect(finding(-1900, 10).verdict == .good)
        #expect(finding(2900, 2000).verdict == .good, "the answer may have come a second late")
        #expect(
            finding(42_000, 10).verdict == .note && finding(42_000, 10).text.hasPrefix("the host's is 42 s ahead of"))
        #expect(finding(-42_000, 10).text.hasPrefix("the host's is 42 s behind this one's: "))
    }
}

extension [UInt8] {
    fileprivate func chunks(of size: Int) -> [ArraySlice<UInt8>] {
        stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
    }
}
