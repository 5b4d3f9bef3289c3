import Glibc
import SemQueueTestSupport
import Testing

/// The queue file is deleted or replaced, and its holder is at work for a while still: whoever waited behind it is not
/// let in beside it at the new file.
@Suite struct FormerHolderTests {
    private let sandbox: Sandbox
    private let oracle: Oracle

    init() throws {
        sandbox = try Sandbox()
        oracle = try Oracle(sandbox)
    }

    static let removals = [
        "rm board.queue", "mv board.queue away", "semq acquire -q other -- true; mv other board.queue",
    ]

    /// One whose command heeds no SIGTERM, and ends with the file `go`, or five seconds later by SIGKILL.
    private func holding() throws -> Running {
        let line = "trap '' TERM; mkdir inside; touch held; until [ -e go ]; do sleep 0.01; done; rmdir inside"
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", line)
        try #require(Event.happens { sandbox.exists("held") }, "\(holder.err)")
        return holder
    }

    private func waiting(_ options: String..., for queues: [String] = ["board.queue"]) throws -> Running {
        let words = [Sandbox.binary, "acquire"] + options + queues + ["--"] + oracle.words + ["waiter"]
        let waiter = try sandbox.start(words)
        try #require(
            Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true },
            "\(waiter.err)")
        return waiter
    }

    private func removed(_ how: String = removals[0], before waiter: Running) throws {
        try #require(sandbox.shell(how).status == .exited(0))
        let told =
            "semq: board.queue: the queue file was deleted or replaced; waits until nobody holds the old one any more: "
        #expect(Event.happens { waiter.err.contains(told) || waiter.hasEnded }, "\(waiter.err)")
        #expect(oracle.names.isEmpty, "let in beside the holder: \(waiter.err)")
    }

    /// Lets the command end, once its turn is known to be lost.
    private func end(_ holder: Running) throws {
        #expect(Event.happens { holder.err.contains("the lock is lost") })
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(76))
    }

    @Test(arguments: removals) func theWaiterOutlastsTheHolder(_ how: String) throws {
        let holder = try holding()
        let waiter = try waiting()
        try removed(how, before: waiter)
        try end(holder)
        #expect(waiter.wait().status == .exited(0), "\(waiter.err)")
        #expect(oracle.names == ["waiter"] && oracle.complaint == nil)
    }

    /// It is ended in the end.
    @Test func theWaiterOutlastsAHolderThatIsKilled() throws {
        let line = "trap '' TERM; echo $$ > held; while :; do sleep 0.01; done"
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", line)
        try #require(Event.happens { !sandbox.lines("held").isEmpty }, "\(holder.err)")
        let waiter = try sandbox.starting("acquire", "board.queue", "--", "sh", "-c", "! kill -0 $(cat held)")
        try #require(
            Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true })
        try removed(before: waiter)
        #expect(holder.wait().status == .exited(76))
        #expect(waiter.wait().status == .exited(0), "\(waiter.err)")
    }

    @Test(arguments: ["--any", "--all"]) func oneOfSeveral(_ mode: String) throws {
        let holder = try holding()
        let busy = try sandbox.starting(
            "acquire", "-q", "z.queue", "--", "sh", "-c", "touch busy; until [ -e free ]; do sleep 0.01; done")
        try #require(Event.happens { sandbox.exists("busy") })
        if mode == "--all" {
            try sandbox.write("free", "")
            #expect(busy.wait().status == .exited(0))
        }
        // For all of them it stands at one after the other, in an order that chance has made.
        let queues = mode == "--all" ? ["board.queue", "board.queue"] : ["board.queue", "z.queue"]
        let waiter = try waiting(mode, for: queues)
        try removed(before: waiter)
        try end(holder)
        #expect(waiter.wait().status == .exited(0), "\(waiter.err)")
        #expect(oracle.names == ["waiter"] && oracle.complaint == nil)
        try sandbox.write("free", "")
        #expect(busy.wait().status == .exited(0))
    }

    @Test func theLimitOfTimeHolds() throws {
        let holder = try holding()
        let waiter = try waiting("-w", "2")
        try removed(before: waiter)
        #expect(waiter.wait().status == .exited(75))
        #expect(oracle.names.isEmpty)
        try end(holder)
    }

    @Test func aStopAndASignalAreHeeded() throws {
        let holder = try holding()
        let waiter = try waiting()
        try removed(before: waiter)
        waiter.send(SIGTSTP)
        #expect(Event.happens { Processes.isStopped(waiter.pid) })
        waiter.send(SIGCONT)
        #expect(Event.happens { !Processes.isStopped(waiter.pid) })
        #expect(!waiter.hasEnded && oracle.names.isEmpty)
        waiter.send(SIGTERM)
        #expect(waiter.wait().status == .signaled(SIGTERM))
        try end(holder)
        #expect(oracle.names.isEmpty)
    }
}
