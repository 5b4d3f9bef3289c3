import Foundation
import Glibc
import SemQueueTestSupport
import Testing

@testable import SemQueue

/// The counterexamples of docs/model.md, replayed: a `semq` in which the fault is put back shows what is wrong, the real one
/// doesn't. Those of the lease are in ModelReplayRemoteTests.
@Suite struct ModelReplayTests {
    private func status(_ replay: Replay) -> QueueStatus? {
        try? QueueStatus(path: replay.sandbox.path("board.queue"))
    }

    private func waiting(_ replay: Replay) -> Int { status(replay)?.waiting.count ?? 0 }

    /// Starts a turn that waits.
    private func waiting(_ replay: Replay, _ name: String) throws -> Running {
        let before = waiting(replay)
        let waiter = try replay.start(replay.turn(name))
        try #require(Event.happens { waiting(replay) == before + 1 }, "\(waiter.err)")
        return waiter
    }

    /// A waiter that is hit at an instant, and that has made its command ready.
    private func victim(_ replay: Replay, at instant: String, _ signal: Int32) throws -> Running {
        let victim = try replay.inject("at", instant, signal: signal, replay.turn("victim"))
        try #require(
            Event.happens { waiting(replay) == 1 && replay.sandbox.read("report").contains("fork") }, "\(victim.err)")
        return victim
    }

    /// Whether the waiter has a thread for each of so many slots, before long.
    private func watches(_ victim: Running, _ slots: Int) -> Bool {
        Event.happens {
            Processes.children(of: victim.pid).first.map { Processes.threads(of: $0) == 1 + slots } == true
        }
    }

    // MARK: stop.pml

    @Test func a1AWatcherTakesTheSignal() throws {
        try Replay.check("A1") { replay in
            try #require(replay.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
            let (first, second) = (try replay.holding("first"), try replay.holding("second"))
            let victim = try victim(replay, at: "claimed", SIGTSTP)
            try #require(watches(victim, 2), "it watches no slots")
            try replay.letGo("first")
            first.wait()
            try #require(Event.happens { replay.hit() != nil }, "\(victim.err)")
            let pid = try #require(replay.hit())
            try #require(
                Event.happens {
                    replay.foreground(pid, of: victim)
                    return replay.isIn("victim")
                }, "\(victim.err)")
            let isThird = try replay.letsInOneMore()
            try replay.letGo("victim")
            try replay.letGo("second")
            try #require(
                Event.happens {
                    replay.foreground(pid, of: victim)
                    return victim.hasEnded
                })
            second.wait()
            return isThird
        }
    }

    @Test func a1ThreadsLiveAcrossAFork() throws {
        try Replay.check("A1-fork") { replay in
            try #require(replay.semq("set", "board.queue", "--concurrency", "3").status == .exited(0))
            let holders = try ["a", "b", "c"].map { try replay.holding($0) }
            let victim = try victim(replay, at: "claimed", 0)
            try #require(watches(victim, 3), "it watches no slots")
            try replay.letGo("b")
            try #require(Event.happens { replay.hit() != nil })
            // What was made ready is gone: another is forked, straight after the grant.
            let made = Processes.children(of: try #require(replay.hit()))
            let killed = made.flatMap(Processes.children(of:)) + made
            for process in killed { kill(process, SIGKILL) }
            // Until then the start would reach it, and end with it.
            try #require(Event.happens { !killed.contains(where: Processes.isAlive) })
            try replay.goOn()
            try #require(Event.happens { replay.isIn("victim") }, "\(victim.err)")
            for name in ["a", "c", "victim"] { try replay.letGo(name) }
            for running in holders + [victim] { running.wait() }
            let forks = replay.sandbox.lines("report").filter { $0.hasPrefix("fork") }
            try #require(forks.count == 2)
            return forks != ["fork 1", "fork 1"]
        }
    }

    @Test func a10AHoldWithoutItsDoorbell() throws {
        try Replay.check("A10") { replay in
            try #require(replay.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
            // In place of a waiter that is stopped just when it has been given its short read lock.
            let stopped = try QueueFile.open(replay.sandbox.path("board.queue"), .init(create: false)).1
            for slot in 0..<2 { try #require(stopped.tryLock(.read, LockSpace.doorbell(slot))) }
            let holders = try ["a", "b"].map { try replay.holding($0) }
            let next = try waiting(replay, "next")
            // The start and the fork of guardian and command are behind it.
            try #require(Event.happens { Processes.guardian(of: next.pid) != nil })
            let before = Processes.processorTime(of: next.pid)
            // Of two seconds it has a quarter, or it sleeps.
            let spins = Event.happens(within: 2) { Processes.processorTime(of: next.pid) - before > 0.5 }
            for name in ["a", "b", "next"] { try replay.letGo(name) }
            for running in holders + [next] { running.wait() }
            return spins
        }
    }

    // MARK: queue.pml

    @Test func a7ANoteOfBeforeTheRecovery() throws {
        try Replay.check("A7") { replay in
            let first = try replay.holding("first")
            let second = try waiting(replay, "second")
            try #require(replay.semq("release", "board.queue", "--ticket", "2", "--reason", "r").status == .exited(0))
            second.wait()
            try replay.letGo("first")
            first.wait()
            let wipe = "head -c 1024 /dev/zero | dd of=board.queue conv=notrunc status=none"
            try #require(replay.sandbox.shell(wipe).status == .exited(0))
            let third = try replay.holding("third")
            let stranger = try replay.start(replay.turn("stranger"))
            try #require(Event.happens { waiting(replay) == 1 || stranger.hasEnded }, "\(stranger.err)")
            return try isEnded(replay, "stranger", stranger, behind: ("third", third))
        }
    }

    /// Whether somebody who waits is taken out instead of being let in.
    private func isEnded(_ replay: Replay, _ name: String, _ waiter: Running, behind holder: (name: String, Running))
        throws -> Bool
    {
        try replay.letGo(holder.name)
        holder.1.wait()
        try #require(Event.happens { replay.isIn(name) || waiter.hasEnded }, "\(waiter.err)")
        let wasLetIn = replay.isIn(name)
        try replay.letGo(name)
        waiter.wait()
        return !wasLetIn
    }

    @Test func a9AStaleLook() throws {
        try Replay.check("A9") { replay in
            let first = try replay.holding("first")
            let victim = try victim(replay, at: "given", 0)
            try replay.letGo("first")
            first.wait()
            try #require(Event.happens { replay.hit() != nil }, "\(victim.err)")
            try #require(replay.semq("set", "board.queue", "--concurrency", "2").status == .exited(0))
            let urgent = try replay.start(replay.turn("urgent", "--priority", "10"))
            try #require(Event.happens { replay.isIn("urgent") }, "\(urgent.err)")
            try #require(replay.semq("set", "board.queue", "--concurrency", "1").status == .exited(0))
            try replay.goOn()
            try #require(
                Event.happens {
                    replay.isIn("victim")
                        || status(replay).map { $0.holders.count == 1 && $0.waiting.count == 1 } == true
                })
            let areTwo = replay.isIn("victim")
            for name in ["urgent", "victim"] { try replay.letGo(name) }
            for running in [urgent, victim] { running.wait() }
            return areTwo
        }
    }

    @Test func notesUnread() throws {
        try Replay.check("notes-unread") { replay in
            let first = try replay.holding("first")
            let victim = try victim(replay, at: "given", 0)
            try replay.letGo("first")
            first.wait()
            try #require(Event.happens { replay.hit() != nil }, "\(victim.err)")
            let release = try replay.start([replay.binary, "release", "board.queue", "--ticket", "2", "--reason", "r"])
            try #require(Event.happens { replay.sandbox.read("board.queue.history").contains("\"removed\"") })
            try replay.goOn()
            try #require(Event.happens { replay.isIn("victim") || victim.hasEnded })
            try replay.letGo("victim")
            victim.wait()
            release.wait()
            return replay.isIn("victim")
        }
    }

    @Test func aNumberThatIsDrawnTwice() throws {
        try Replay.check("drawn-twice") { replay in
            let first = try replay.holding("first")
            // One has a ticket that lives, and dies before it has done any more.
            let victim = try replay.inject("at", "joined", signal: 0, replay.turn("victim"))
            try #require(Event.happens { replay.hit() != nil }, "\(victim.err)")
            let release = try replay.inject(
                "at", "asks", signal: 0, report: "release",
                [replay.binary, "release", "board.queue", "--ticket", "2", "--reason", "r"])
            try #require(Event.happens { replay.hit("release") != nil }, "\(release.err)")
            kill(try #require(replay.hit()), SIGKILL)
            try replay.goOn()
            victim.wait()
            let stranger = try waiting(replay, "stranger")
            try replay.goOn("release")
            release.wait()
            return try isEnded(replay, "stranger", stranger, behind: ("first", first))
        }
    }

    @Test func aHeaderThatCannotBeWritten() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        try Replay.check("unwritten") { replay in
            let first = try replay.holding("first")
            // Its record stands, the header behind it was refused: nobody knows that the number is drawn.
            let victim = try replay.start(
                [
                    "strace", "-f", "-qq", "-o", "trace", "-P", replay.sandbox.path("board.queue"), "-e",
                    "trace=pwrite64",
                    "-e", "inject=pwrite64:error=ENOSPC:when=2",
                ] + replay.turn("victim"))
            try #require(Event.happens { waiting(replay) == 1 }, "\(victim.err)")
            try #require(replay.sandbox.read("trace").contains("ENOSPC"))
            let release = try replay.inject(
                "at", "asks", signal: 0, report: "release",
                [replay.binary, "release", "board.queue", "--ticket", "2", "--reason", "r"])
            try #require(Event.happens { replay.hit("release") != nil }, "\(release.err)")
            for pid in Processes.children(of: victim.pid) { kill(pid, SIGKILL) }
            try #require(Event.happens { waiting(replay) == 0 })
            let stranger = try waiting(replay, "stranger")
            // The second number, unless what is left of the victim is heeded.
            try #require([[2], [3]].contains(status(replay)?.waiting.map(\.ticket.number)))
            try replay.goOn("release")
            release.wait()
            victim.wait()
            return try isEnded(replay, "stranger", stranger, behind: ("first", first))
        }
    }

    @Test func aRecordThatIsWrittenLate() throws {
        try Replay.check("record-late") { try losesTheNextRecord($0, SIGSTOP) }
    }

    // MARK: guard.pml

    @Test func whoTakesOverDoesntAsk() throws {
        try Replay.check("blind") { try losesTheNextRecord($0, SIGKILL) }
    }

    /// A guardian is hit as it has given back, and the next one is in before anybody goes on: whether its record is gone
    /// then.
    private func losesTheNextRecord(_ replay: Replay, _ signal: Int32) throws -> Bool {
        let victim = try replay.inject("1", "unlocked", signal: signal, replay.turn("victim"))
        try #require(Event.happens { replay.isIn("victim") }, "\(victim.err)")
        let front = try #require(Processes.children(of: victim.pid).first)
        kill(front, SIGSTOP)
        try #require(Event.happens { Machine.state(of: front).map { "Tt".contains($0) } == true })
        let next = try waiting(replay, "next")
        try replay.letGo("victim")
        try #require(Event.happens { replay.hit() != nil })
        let guardian = try #require(replay.hit())
        defer { kill(guardian, SIGCONT) }
        try #require(Event.happens { replay.isIn("next") }, "\(next.err)")
        try #require(status(replay)?.holders.map(\.party.pid) == [next.pid])
        kill(guardian, SIGCONT)
        kill(front, SIGCONT)
        try #require(Event.happens { victim.hasEnded }, "\(victim.err)")
        let isKnown = status(replay)?.holders.map(\.party.pid) == [next.pid]
        try replay.letGo("next")
        next.wait()
        return !isKnown
    }

    @Test func a2TheTurnEndsWithTheCommand() throws {
        try Replay.check("A2") { replay in
            let line = "(until [ -e go ]; do sleep 0.01; done) & touch ends"
            let holder = try replay.start([replay.binary, "acquire", "-q", "board.queue", "--", "sh", "-c", line])
            try #require(Event.happens { replay.sandbox.exists("ends") }, "\(holder.err)")
            let next = try replay.semq("acquire", "-q", "-w", "1", "board.queue", "--", "true")
            try replay.sandbox.write("go", "")
            holder.wait()
            return next.status == .exited(0)
        }
    }

    @Test func aGuardianWhoseCommandNeverWent() throws {
        try Replay.check("unstarted") { replay in
            let first = try replay.holding("first")
            let victim = try waiting(replay, "victim")
            func ready() -> (guardian: pid_t, command: pid_t)? {
                guard let guardian = Processes.guardian(of: victim.pid),
                    let command = Processes.children(of: guardian).first
                else { return nil }
                return (guardian, command)
            }
            try #require(Event.happens { ready() != nil }, "\(victim.err)")
            let (guardian, command) = try #require(ready())
            defer { kill(guardian, SIGCONT) }
            // The guardian hears of its command's end when another has been started.
            kill(guardian, SIGSTOP)
            try #require(Event.happens { Machine.state(of: guardian) == "T" })
            kill(command, SIGKILL)
            try #require(Event.happens { !Processes.isAlive(command) })
            try replay.letGo("first")
            first.wait()
            try #require(Event.happens { replay.isIn("victim") }, "\(victim.err)")
            kill(guardian, SIGCONT)
            try #require(Event.happens { !Processes.isAlive(guardian) })
            let isSecond = try replay.letsInOneMore()
            try replay.letGo("victim")
            victim.wait()
            return isSecond
        }
    }
}
