import SemQueueTestSupport
import Testing

/// `semq set`: the concurrency, pause and resume, while others use the queue.
@Suite struct AdminTests {
    // MARK: concurrency

    @Test func setMakesAQueueAndSaysWhatItDid() throws {
        let sandbox = try Sandbox()
        let made = try sandbox.semq("set", "q", "--concurrency", "2")
        #expect(made.status == .exited(0))
        #expect(made.err.hasPrefix("semq: made the queue "))
        #expect(made.err.hasSuffix(":\(sandbox.path("q")), concurrency 2\n"))
        let changed = try sandbox.semq("set", "q", "--concurrency", "3")
        #expect(changed == .init(status: .exited(0), out: "", err: "semq: q: concurrency 3\n"))
        #expect(sandbox.view("q")?.concurrency == 3)
    }

    @Test func raisingLetsWaitersInAtOnce() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiters = try (1...3).map { try sandbox.waiting(as: "waiter \($0)") }
        _ = try sandbox.semq("set", "board.queue", "--concurrency", "2")
        for waiter in waiters { #expect(waiter.wait().status == .exited(0)) }
        #expect(sandbox.lines("log") == ["waiter 1", "waiter 2", "waiter 3"])
        #expect(!holder.hasEnded)
        holder.stop()
    }

    @Test func loweringDrainsAndNeverGrantsBeyond() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("set", "board.queue", "--concurrency", "3")
        let holders = try (0..<3).map { try sandbox.holding(as: "holder \($0)") }
        let lowered = try sandbox.semq("set", "board.queue", "--concurrency", "1")
        #expect(lowered.err == "semq: board.queue: concurrency 1; 3 hold it until they have ended\n")
        #expect(
            try sandbox.semq("status", "board.queue").out.hasPrefix("board.queue: held (draining to 1), nobody waits\n")
        )
        let waiter = try sandbox.waiting(as: "waiter")
        for holder in holders[..<2] {
            holder.stop()
            #expect(try !sandbox.isFree(), "those who still hold fill the lowered number")
        }
        #expect(sandbox.view()?.waiting.count == 1 && sandbox.lines("log").isEmpty)
        holders[2].stop()
        #expect(waiter.wait().status == .exited(0))
    }

    // MARK: pause

    @Test func aPausedQueueGrantsNobodyAndTellsWhy() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiter = try sandbox.waiting(as: "waiter")
        let paused = try sandbox.semq("set", "board.queue", "--pause", "recabling\nthe rack")
        #expect(paused.err == "semq: board.queue: paused: recabling\\nthe rack; 1 holds on until done\n")
        #expect(waiter.says("semq: board.queue: paused by "))
        #expect(waiter.says(": recabling\\nthe rack; next in line\n"))
        #expect(!holder.hasEnded, "who holds goes on")
        holder.stop()

        let busy = try sandbox.semq("acquire", "-n", "board.queue", "--", "touch", "ran")
        #expect(busy.status == .exited(75))
        #expect(busy.err.wholeMatch(of: /semq: board.queue: paused by \S+@\S+: recabling\\nthe rack\n/) != nil)
        #expect(try sandbox.semq("acquire", "-n", "-E", "4", "board.queue", "--", "true").status == .exited(4))
        #expect(try sandbox.semq("acquire", "-q", "-w", "0.3", "board.queue", "--", "true").status == .exited(75))
        #expect(!sandbox.exists("ran") && sandbox.lines("log").isEmpty)
        #expect(sandbox.view()?.paused?.reason == "recabling\nthe rack")
        #expect(try sandbox.semq("status", "board.queue").out.contains(": recabling\\nthe rack\n"))

        #expect(try sandbox.semq("set", "board.queue", "--resume").err == "semq: board.queue: resumed\n")
        #expect(waiter.wait().status == .exited(0))
        #expect(try sandbox.isFree())
        #expect(sandbox.view()?.paused == nil)
    }

    @Test func aReasonMayEndInSpaces() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("set", "q", "--concurrency", "3")
        _ = try sandbox.semq("set", "q", "--pause", "lunch ")
        let view = try #require(sandbox.view("q"), "the queue can still be read")
        #expect(view.concurrency == 3)
        #expect(view.paused?.reason.hasPrefix("lunch") == true)
        #expect(try sandbox.semq("status", "q").out.hasPrefix("q: paused, nobody waits\n"), "not called free")
        #expect(try sandbox.semq("set", "q", "--resume").status == .exited(0))
        #expect(try sandbox.isFree("q"))
    }

    @Test func doctorTellsOfAPause() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        #expect(try sandbox.semq("set", "q", "--pause", "recabling").status == .exited(0))
        let result = try sandbox.semq("doctor", "q")
        #expect(result.status == .exited(0))
        #expect(result.out.contains(#/note +paused +by .*: recabling; until: semq set q --resume\n/#), "\(result.out)")
    }
}
