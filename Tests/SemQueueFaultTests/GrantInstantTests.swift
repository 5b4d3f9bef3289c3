import Glibc
import SemQueueTestSupport
import Testing

@testable import SemQueue

/// The instants of a grant: what happens just then to the waiter or to the queue lets nobody in too many.
@Suite struct GrantInstantTests {
    private let replay: Replay
    private let sandbox: Sandbox

    init() throws {
        replay = try Replay()
        sandbox = replay.sandbox
    }

    private var status: QueueStatus? { try? QueueStatus(path: sandbox.path("board.queue")) }

    private var hit: pid_t? { replay.hit() }

    /// A waiter that is hit at an instant, and that has made its command ready.
    private func victim(at instant: String, _ signal: Int32) throws -> Running {
        let victim = try replay.inject("at", instant, signal: signal, replay.turn("victim"))
        try #require(
            Event.happens { status?.waiting.count == 1 && sandbox.read("report").contains("fork") }, "\(victim.err)")
        return victim
    }

    /// Ctrl-Z just as a slot of several is granted, then `fg`: the command runs under its lock.
    @Test func aStopAtTheGrantTakesNoSlotBack() throws {
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
        let first = try replay.holding("first")
        let second = try replay.holding("second")
        let victim = try victim(at: "claimed", SIGTSTP)
        try #require(
            Event.happens { Processes.children(of: victim.pid).first.map { Processes.threads(of: $0) == 3 } == true },
            "it watches no slots")
        try replay.letGo("first")
        #expect(first.wait().status == .exited(0))
        try #require(Event.happens { hit != nil }, "\(victim.err)")
        let pid = try #require(hit)
        // Stopped now or, later, with its command, it goes on at each `fg`, which continues its group.
        #expect(
            Event.happens {
                replay.foreground(pid, of: victim)
                return replay.isIn("victim")
            }, "\(victim.err)")
        #expect(status?.holders.count == 2)
        let third = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(third.status == .exited(75), "a third was let in: \(third)")
        try replay.letGo("victim")
        try replay.letGo("second")
        #expect(
            Event.happens {
                replay.foreground(pid, of: victim)
                return victim.hasEnded
            })
        #expect(second.wait().status == .exited(0))
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0))
    }

    /// While several slots are watched there is a thread for each; guardian and command are forked without any.
    @Test func noThreadLivesAcrossAFork() throws {
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "3").status == .exited(0))
        let holders = try ["a", "b", "c"].map { try replay.holding($0) }
        let victim = try victim(at: "claimed", 0)
        try #require(
            Event.happens { Processes.children(of: victim.pid).first.map { Processes.threads(of: $0) == 4 } == true },
            "it watches no slots")
        try replay.letGo("b")
        try #require(Event.happens { hit != nil })
        // What was made ready is gone: another is forked, straight after the grant.
        let made = Processes.children(of: try #require(hit))
        let killed = made.flatMap(Processes.children(of:)) + made
        for process in killed { kill(process, SIGKILL) }
        // Until then the start would reach it, and end with it.
        try #require(Event.happens { !killed.contains(where: Processes.isAlive) })
        try replay.goOn()
        #expect(Event.happens { replay.isIn("victim") }, "\(victim.err)")
        let forks = sandbox.lines("report").filter { $0.hasPrefix("fork") }
        #expect(forks == ["fork 1", "fork 1"], "threads at each fork")
        for name in ["a", "c", "victim"] { try replay.letGo(name) }
        #expect(victim.wait().status == .exited(0))
        for holder in holders { #expect(holder.wait().status == .exited(0)) }
    }

    /// The slot is given to the one that waited, and before it has the mutex the concurrency is raised, somebody more
    /// urgent comes in beside it, and the concurrency is lowered again: it is not let in.
    @Test func aConcurrencyThatWasLoweredMeanwhileCounts() throws {
        let first = try replay.holding("first")
        let victim = try victim(at: "given", 0)
        try replay.letGo("first")
        #expect(first.wait().status == .exited(0))
        try #require(Event.happens { hit != nil }, "\(victim.err)")
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
        let urgent = try replay.start(replay.turn("urgent", "--priority", "10"))
        try #require(Event.happens { replay.isIn("urgent") }, "\(urgent.err)")
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "1").status == .exited(0))
        try replay.goOn()
        #expect(
            Event.happens {
                replay.isIn("victim") || status.map { $0.holders.count == 1 && $0.waiting.count == 1 } == true
            })
        #expect(!replay.isIn("victim"), "two at once, where one is allowed")
        try replay.letGo("urgent")
        #expect(urgent.wait().status == .exited(0))
        #expect(Event.happens { replay.isIn("victim") }, "\(victim.err)")
        try replay.letGo("victim")
        #expect(victim.wait().status == .exited(0))
    }
}
