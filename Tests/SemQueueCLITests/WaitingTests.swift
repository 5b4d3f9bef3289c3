import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// What those who wait are told, and in which order their turns come.
@Suite struct WaitingTests {
    // MARK: what is told

    @Test func aWaiterIsToldItsPlaceAndWhoHoldsAndWhyALineForEachChange() throws {
        let sandbox = try Sandbox()
        let first = try sandbox.holding(as: "flashing")
        let second = try sandbox.waiting(as: "second")
        let third = try sandbox.waiting(as: "third")
        #expect(second.says("semq: board.queue: next in line; held by "))
        #expect(third.says("semq: board.queue: 2nd in line; held by "))
        let line = try #require(third.err.split(separator: "\n").first)
        let told = /semq: board.queue: 2nd in line; held by \S+@\S+ \(pid (\d+)\) for \d+s: flashing/
        #expect(try #require(line.wholeMatch(of: told)).1 == "\(first.pid)")
        second.stop()
        #expect(third.says("semq: board.queue: next in line; held by "))
        #expect(third.err.split(separator: "\n").count == 2)
        first.stop()
        #expect(third.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["third"])
        #expect(!third.err.contains("\u{1b}"), "no escape sequences in a file")
    }

    @Test func whoGoesStraightThroughIsToldNothing() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        #expect(try sandbox.semq("acquire", "board.queue", "--", "true") == .init(status: .exited(0), out: "", err: ""))
    }

    @Test func quietSaysNothingWhileWaitingNorAtTheEnd() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiter = try sandbox.waiting(as: "quiet", "-q")
        let late = try sandbox.semq("acquire", "-q", "-w", "0.3", "board.queue", "--", "true")
        #expect(late == .init(status: .exited(75), out: "", err: ""))
        holder.stop()
        #expect(waiter.wait() == .init(status: .exited(0), out: "", err: ""))
    }

    @Test func onATerminalOneLineIsRedrawnAndClearedInTheEnd() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding(as: "flashing")
        let pty = try Pty([Sandbox.binary, "acquire", "board.queue", "--", "echo", "mine"], in: sandbox)
        #expect(pty.sees("\r\u{1b}[2Ksemq: board.queue: next in line, 0s; held by "))
        #expect(pty.sees("\r\u{1b}[2Ksemq: board.queue: next in line, 1s; held by "))
        #expect(!pty.text.contains("\n"))
        holder.stop()
        #expect(pty.sees("\r\u{1b}[2Kmine\r\n"))
        #expect(pty.wait() == .exited(0))
    }

    @Test func whereverASignalHitsNoLineIsLeftOfAWaitThatIsOver() throws {
        let injector = try Machine.built("SemQueueInjector")
        // About the first call that finds the line drawn, whose number the build decides.
        var calls = 1..<1000
        while calls.count > 1 {
            let middle = calls.lowerBound + calls.count / 2
            let isDrawn = try Self.isDrawn(injector, atCall: middle)
            calls = isDrawn ? calls.lowerBound..<middle : middle..<calls.upperBound
        }
        let first = calls.lowerBound - 4
        let waits = Parallel.untilNil(width: 4) { $0 < 24 ? try Self.isDrawn(injector, atCall: first + $0) : nil }
        for failure in waits.failures { Issue.record("\(failure)") }
        #expect(waits.results.contains(true) && waits.results.contains(false))
    }

    /// One wait at a terminal that SIGINT hits at one of its calls.
    /// - Returns: whether its line was there to be cleared.
    private static func isDrawn(_ injector: String, atCall number: Int) throws -> Bool {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        defer { holder.stop() }
        let pty = try Pty(
            [injector, "0", "\(number)", "\(SIGINT)", sandbox.path("report")]
                + [Sandbox.binary, "acquire", "board.queue", "--", "true"], in: sandbox)
        // Drawn anew, it hasn't come to that call so far.
        guard Event.happens({ pty.hasEnded || pty.text.contains("next in line, 1s") }) else {
            throw Failure(call: number, shown: pty.everything)
        }
        guard pty.hasEnded else { return true }
        let drawn = pty.everything.components(separatedBy: "\r\u{1b}[2K")
        guard sandbox.lines("report").last == "end signaled \(SIGINT)", drawn.last == "" else {
            throw Failure(call: number, shown: pty.everything)
        }
        return drawn.count > 1
    }

    private struct Failure: Error {
        var call: Int
        var shown: String
    }

    @Test func theRedrawnLineFitsANarrowTerminal() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding(as: "a description that is longer than the terminal is wide")
        let pty = try Pty([Sandbox.binary, "acquire", "board.queue", "--", "echo", "mine"], in: sandbox, columns: 40)
        #expect(pty.sees("\r\u{1b}[2K"))
        #expect(pty.sees("…"))
        holder.stop()
        #expect(pty.sees("mine"))
        let lines = pty.everything.split(separator: "\r\u{1b}[2K").filter { $0.hasPrefix("semq") }
        #expect(!lines.isEmpty && lines.allSatisfy { $0.count < 40 })
    }

    @Test func controlCharactersInADescriptionReachNoTerminal() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding(as: "evil\u{1b}[2J\u{7}\nsemq: forged")
        let pty = try Pty([Sandbox.binary, "acquire", "board.queue", "--", "echo", "mine"], in: sandbox)
        #expect(pty.sees("evil\\u{1b}[2J\\u{7}\\nsemq: forged"))
        let table = try sandbox.semq("status", "board.queue").out
        #expect(table.contains("evil\\u{1b}[2J\\u{7}\\nsemq: forged") && !table.contains("\u{1b}"))
        holder.stop()
        #expect(pty.sees("mine"))
    }

    // MARK: time-out and order

    @Test func notInTimeIs75AndTellsWhoHolds() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding(as: "flashing")
        let began = ContinuousClock.now
        let result = try sandbox.semq("acquire", "-w", "0.5", "board.queue", "--", "touch", "ran")
        let took = ContinuousClock.now - began
        #expect(result.status == .exited(75))
        #expect(result.err.contains("semq: board.queue: not granted in time: held by "))
        #expect(took >= .milliseconds(500) && took < .seconds(5))
        #expect(!sandbox.exists("ran"))
        #expect(sandbox.view()?.waiting.isEmpty == true)
        holder.stop()
    }

    @Test func whoIsGrantedWithinTheTimeRuns() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiter = try sandbox.waiting(as: "patient", "-w", "50")
        holder.stop()
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["patient"])
    }

    @Test func turnsComeInTheOrderOfArrivalAndHigherPriorityFirst() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        var waiters: [Running] = []
        for (name, priority) in [("c1", 0), ("c2", 0), ("e", -5), ("a", 1000), ("b1", 7), ("c3", 0), ("b2", 7)] {
            waiters.append(try sandbox.waiting(as: name, "--priority", "\(priority)"))
        }
        let order = ["a", "b1", "b2", "c1", "c2", "c3", "e"]
        #expect(sandbox.view()?.waiting.map(\.description) == order)
        holder.stop()
        for waiter in waiters { #expect(waiter.wait().status == .exited(0)) }
        #expect(sandbox.lines("log") == order)
    }

    // MARK: leaving the queue

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGKILL])
    func aWaiterThatIsEndedLeavesItsPlaceAtOnce(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let head = try sandbox.waiting(as: "head")
        let next = try sandbox.waiting(as: "next")
        let last = try sandbox.waiting(as: "last")
        next.send(signal)
        #expect(next.wait().status == .signaled(signal))
        head.send(signal)
        #expect(head.wait().status == .signaled(signal))
        #expect(sandbox.queue { $0.waiting.map(\.description) == ["last"] })
        let began = ContinuousClock.now
        holder.stop()
        #expect(last.wait().status == .exited(0))
        #expect(ContinuousClock.now - began < .seconds(4), "nobody is waited for who is gone")
        #expect(sandbox.lines("log") == ["last"])
    }

    @Test func aHolderThatIsKilledWithItsWholeTreeIsPassedAtOnce() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiter = try sandbox.waiting(as: "next")
        let guardian = try #require(Processes.guardian(of: holder.pid))
        let began = ContinuousClock.now
        for pid in [guardian, holder.pid, -holder.pid] { kill(pid, SIGKILL) }
        #expect(waiter.wait().status == .exited(0))
        #expect(ContinuousClock.now - began < .seconds(4))
        #expect(try sandbox.semq("history", "--json", "board.queue").out.contains("\"event\": \"lost\""))
    }

    @Test func aStoppedWaiterAtTheHeadIsPassedWithinSeconds() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let head = try sandbox.waiting(as: "head")
        let next = try sandbox.waiting(as: "next")
        head.send(SIGSTOP)
        #expect(Event.happens { Processes.isStopped(head.pid) })
        holder.stop()
        #expect(next.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["next"])
        head.send(SIGCONT)
        #expect(head.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["next", "head"])
    }

    @Test func theNextOneIsToldWhenSomebodyUrgentComesBeforeIt() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let next = try sandbox.waiting("q", as: "next")
        #expect(Event.happens { next.err.contains("next in line") }, "\(next.err)")
        let urgent = try sandbox.waiting("q", as: "urgent", "--priority", "5")
        #expect(Event.happens { next.err.contains("q: 2nd in line; held by ") }, "\(next.err)")
        holder.stop()
        for waiter in [urgent, next] { #expect(waiter.wait().status == .exited(0)) }
        #expect(sandbox.lines("log") == ["urgent", "next"])
    }

    @Test func aStoppedWaiterIsSeenAndItIsToldThatItIsPassed() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let head = try sandbox.waiting("q", as: "head")
        let next = try sandbox.waiting("q", as: "next")
        head.send(SIGSTOP)
        #expect(sandbox.queue("q") { $0.waiting.map(\.stopped) == [true, false] })
        // What stands behind it is next.
        #expect(Event.happens { next.err.contains("next in line") }, "\(next.err)")
        holder.stop()
        #expect(next.wait().status == .exited(0))
        #expect(next.err.contains(" (pid \(head.pid)) stands still and is passed: head\n"), "\(next.err)")
        head.send(SIGCONT)
        #expect(head.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["next", "head"])
    }

    /// It has its place as soon as it goes on, though the one behind it waits for the slot already.
    @Test func whoGoesOnInTimeIsNotPassed() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let head = try sandbox.waiting("q", as: "head")
        let next = try sandbox.waiting("q", as: "next")
        head.send(SIGSTOP)
        #expect(Event.happens { next.err.contains("next in line") }, "\(next.err)")
        head.send(SIGCONT)
        holder.stop()
        for waiter in [head, next] { #expect(waiter.wait().status == .exited(0)) }
        #expect(sandbox.lines("log") == ["head", "next"])
        #expect(!next.err.contains("is passed"), "\(next.err)")
    }

    /// More than the queue's record has room for, and all at once.
    @Test func manyStoppedWaitersArePassedTogether() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let still = try (1...20).map { try sandbox.waiting("q", as: "still \($0)") }
        let last = try sandbox.waiting("q", as: "last")
        for waiter in still { waiter.send(SIGSTOP) }
        #expect(sandbox.queue("q") { $0.waiting.map(\.stopped) == still.map { _ in true } + [false] })
        holder.stop()
        // Passed one after the other they would hold it up for three quarters of a minute.
        #expect(Event.happens(within: 30) { last.hasEnded }, "\(last.err)")
        #expect(last.wait().status == .exited(0))
        #expect(last.err.contains(" and 19 more stand still and are passed: still 1\n"), "\(last.err)")
        #expect(sandbox.lines("log") == ["last"])
        for waiter in still { waiter.send(SIGCONT) }
        for waiter in still { #expect(waiter.wait().status == .exited(0)) }
        #expect(Set(sandbox.lines("log").dropFirst()) == Set((1...20).map { "still \($0)" }))
    }

    @Test func whoStandsStillIsPassedOnceForAllAndKeepsItsPlace() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let still = try sandbox.waiting("q", as: "still")
        let others = try (1...4).map { try sandbox.waiting("q", as: "other \($0)") }
        still.send(SIGSTOP)
        #expect(Event.happens { Processes.isStopped(still.pid) })
        holder.stop()
        for other in others { #expect(other.wait().status == .exited(0)) }
        #expect(sandbox.lines("log") == (1...4).map { "other \($0)" })
        // Newcomers look as well.
        #expect(try sandbox.isFree("q"))
        let blocker = try sandbox.holding("q", as: "blocker")
        let late = try sandbox.waiting("q", as: "late")
        still.send(SIGCONT)
        // It has its place again when it has gone on, not when it is told to.
        #expect(sandbox.queue("q") { $0.waiting.map(\.stopped) == [false, false] })
        #expect(sandbox.queue("q") { $0.waiting.map(\.description) == ["still", "late"] })
        blocker.stop()
        #expect(still.wait().status == .exited(0))
        #expect(late.wait().status == .exited(0))
        #expect(sandbox.lines("log").suffix(2) == ["still", "late"])
    }
}
