import Glibc
import SemQueueTestSupport
import Testing

@testable import SemQueue

/// The instants of a grant: what happens just then to the waiter or to the queue lets nobody in too many.
@Suite struct GrantInstantTests {
    private let sandbox: Sandbox

    init() throws { sandbox = try Sandbox() }

    private var status: QueueStatus? { try? QueueStatus(path: sandbox.path("board.queue")) }

    /// A command that says that it is in, and stays until it is let go.
    private func words(_ name: String, _ options: String...) -> [String] {
        [Sandbox.binary, "acquire", "-q"] + options
            + ["board.queue", "--", "sh", "-c", "touch in-\(name); until [ -e go-\(name) ]; do sleep 0.01; done"]
    }

    private func isIn(_ name: String) -> Bool { sandbox.exists("in-\(name)") }

    private func letGo(_ name: String) throws { try sandbox.write("go-\(name)", "") }

    private func holding(_ name: String) throws -> Running {
        let holder = try sandbox.start(words(name))
        try #require(Event.happens { isIn(name) }, "\(holder.err)")
        return holder
    }

    /// A waiter that is hit at an instant, and that has made its command ready.
    private func victim(at instant: String, _ signal: Int32) throws -> Running {
        let inject = [try Machine.built("SemQueueInjector"), "at", instant, "\(signal)", sandbox.path("report")]
        let victim = try sandbox.start(inject + words("victim"))
        try #require(
            Event.happens { status?.waiting.count == 1 && sandbox.read("report").contains("fork") }, "\(victim.err)")
        return victim
    }

    private var hit: pid_t? {
        sandbox.lines("report").first { $0.hasPrefix("hit ") }.flatMap { pid_t($0.split(separator: " ")[1]) }
    }

    /// As `fg` does for one that is stopped; traced, it is shown as that.
    private func foreground(_ pid: pid_t, of job: Running) {
        if let state = Machine.state(of: pid), "Tt".contains(state) { kill(-job.pid, SIGCONT) }
    }

    /// Ctrl-Z just as a slot of several is granted, then `fg`: the command runs under its lock.
    @Test func aStopAtTheGrantTakesNoSlotBack() throws {
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
        let first = try holding("first")
        let second = try holding("second")
        let victim = try victim(at: "claimed", SIGTSTP)
        try letGo("first")
        #expect(first.wait().status == .exited(0))
        try #require(Event.happens { hit != nil }, "\(victim.err)")
        let pid = try #require(hit)
        // Stopped now or, later, with its command, it goes on at each `fg`, which continues its group.
        #expect(
            Event.happens {
                foreground(pid, of: victim)
                return isIn("victim")
            }, "\(victim.err)")
        #expect(status?.holders.count == 2)
        let third = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(third.status == .exited(75), "a third was let in: \(third)")
        try letGo("victim")
        try letGo("second")
        #expect(
            Event.happens {
                foreground(pid, of: victim)
                return victim.hasEnded
            })
        #expect(second.wait().status == .exited(0))
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0))
    }

    /// While several slots are watched there is a thread for each; guardian and command are forked without any.
    @Test func noThreadLivesAcrossAFork() throws {
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "3").status == .exited(0))
        let holders = try ["a", "b", "c"].map { try holding($0) }
        let victim = try victim(at: "claimed", 0)
        try #require(
            Event.happens { Processes.children(of: victim.pid).first.map { Self.threads(of: $0) == 4 } == true },
            "it watches no slots")
        try letGo("b")
        try #require(Event.happens { hit != nil })
        // What was made ready is gone: another is forked, straight after the grant.
        let made = Processes.children(of: try #require(hit))
        for process in made.flatMap(Processes.children(of:)) + made { kill(process, SIGKILL) }
        try sandbox.write("report.go", "")
        #expect(Event.happens { isIn("victim") }, "\(victim.err)")
        let forks = sandbox.lines("report").filter { $0.hasPrefix("fork") }
        #expect(forks == ["fork 1", "fork 1"], "threads at each fork")
        for name in ["a", "c", "victim"] { try letGo(name) }
        #expect(victim.wait().status == .exited(0))
        for holder in holders { #expect(holder.wait().status == .exited(0)) }
    }

    private static func threads(of pid: pid_t) -> Int {
        guard let folder = opendir("/proc/\(pid)/task") else { return 0 }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            let first = withUnsafeBytes(of: entry.pointee.d_name) { $0[0] }
            if first != UInt8(ascii: ".") { count += 1 }
        }
        return count
    }

    /// The slot is given to the one that waited, and before it has the mutex the concurrency is raised, somebody more
    /// urgent comes in beside it, and the concurrency is lowered again: it is not let in.
    @Test func aConcurrencyThatWasLoweredMeanwhileCounts() throws {
        let first = try holding("first")
        let victim = try victim(at: "given", 0)
        try letGo("first")
        #expect(first.wait().status == .exited(0))
        try #require(Event.happens { hit != nil }, "\(victim.err)")
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
        let urgent = try sandbox.start(words("urgent", "--priority", "10"))
        try #require(Event.happens { isIn("urgent") }, "\(urgent.err)")
        try #require(sandbox.semq("set", "board.queue", "--concurrency", "1").status == .exited(0))
        try sandbox.write("report.go", "")
        #expect(
            Event.happens {
                isIn("victim") || status.map { $0.holders.count == 1 && $0.waiting.count == 1 } == true
            })
        #expect(!isIn("victim"), "two at once, where one is allowed")
        try letGo("urgent")
        #expect(urgent.wait().status == .exited(0))
        #expect(Event.happens { isIn("victim") }, "\(victim.err)")
        try letGo("victim")
        #expect(victim.wait().status == .exited(0))
    }
}
