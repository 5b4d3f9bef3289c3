import Glibc
import SemQueueTestSupport
import Testing

@testable import SemQueue

/// As many wait as a queue has room for. Not by as many processes: this one locks and records as they would.
@Suite struct MemberLimitTests {
    @Test func oneMoreThanThereIsRoomForIsRefused() throws {
        let sandbox = try Sandbox()
        let path = sandbox.path("board.queue")
        let holder = try sandbox.starting(
            "acquire", "-q", "board.queue", "--", "sh", "-c", "until [ -e go ]; do sleep 0.01; done")
        #expect(Event.happens { (try? QueueStatus(path: path).holders.count) == 1 })
        let (_, description, _) = try QueueFile.open(path, .init(create: false))
        var header = try #require(QueueFile.header(from: description))
        let party = Party(pid: 1, host: "elsewhere", user: "many", description: "one of many")
        let first = header.lastTicket + 1
        for number in first..<(first + Int64(QueueFile.maximumWaiting)) {
            let ticket = Ticket(priority: 0, number: number)
            let record = WaiterRecord(queue: header.queue, ticket: ticket, since: .now(), party: party)
            let line = QueueFile.waiterLines.lowerBound + Int(number % Int64(QueueFile.maximumWaiting))
            #expect(QueueFile.write(record.line, at: line, to: description))
            #expect(description.tryLock(.write, LockSpace.placeAndMember(ticket)))
        }
        header.lastTicket = first + Int64(QueueFile.maximumWaiting) - 1
        #expect(QueueFile.write(header, to: description))

        let refused = try sandbox.semq("acquire", "board.queue", "--", "touch", "ran")
        #expect(refused.status == .exited(75))
        #expect(
            refused.err == "semq: board.queue: as many wait as a queue has room for (4096); try again later\n")
        #expect(try sandbox.semq("acquire", "-n", "board.queue", "--", "touch", "ran").status == .exited(75))
        #expect(!sandbox.exists("ran"))
        let status = try QueueStatus(path: path)
        #expect(status.holders.count == 1 && status.waiting.count == 4096)
        #expect(status.waiting.allSatisfy { $0.party.description == "one of many" })
        // All of them are seen from elsewhere, too.
        let bench = try Bench(sandbox)
        let seen = try bench.semq("status", "bench:\(path)")
        #expect(seen.status == .exited(0) && seen.out.hasPrefix("bench:\(path): held, 4096 waiting\n"), "\(seen.err)")
        #expect(seen.out.split(separator: "\n").count { $0.hasSuffix("  one of many") } == 4096)

        // One leaves, one comes.
        description.unlock(LockSpace.placeAndMember(Ticket(priority: 0, number: first + 7)))
        let waiter = try sandbox.starting("acquire", "-q", "board.queue", "--", "echo", "in")
        #expect(Event.happens { (try? QueueStatus(path: path).waiting.last?.party.pid) == waiter.pid })
        #expect(try sandbox.semq("acquire", "board.queue", "--", "touch", "ran").status == .exited(75))

        // All others leave at once, and the holder too.
        description.unlockAll()
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
        #expect(waiter.wait() == .init(status: .exited(0), out: "in\n", err: ""))
        #expect(try sandbox.semq("acquire", "-n", "-q", "board.queue", "--", "true").status == .exited(0))
    }
}
