import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq release` ends somebody's turn: a holder with its whole process tree, or a waiter.
@Suite struct ReleaseTests {
    private func release(_ sandbox: Sandbox, _ ticket: Int, grace: String = "5") throws -> Sandbox.Result {
        try sandbox.semq("release", "q", "--ticket", "\(ticket)", "--reason", "fire drill", "--grace", grace)
    }

    private func isGone(_ sandbox: Sandbox, _ name: String) throws -> Bool {
        try !Processes.isAlive(sandbox.pid(in: name))
    }

    @Test func aReleasedHolderIsTerminatedExits76AndIsToldTheReason() throws {
        let sandbox = try Sandbox()
        let script = "trap 'echo cleaned > cleaned; exit 0' TERM; echo $$ > pid; while :; do sleep 0.02; done"
        let semq = try sandbox.starting("acquire", "-m", "flashing", "q", "--", "bash", "-c", script)
        _ = try sandbox.pid(in: "pid")
        let result = try release(sandbox, 1)
        #expect(result.status == .exited(0))
        #expect(result.err.wholeMatch(of: /semq: q: ended the turn of \S+@\S+: flashing\n/) != nil)
        let ended = semq.wait()
        #expect(ended.status == .exited(76))
        #expect(ended.err.contains(/semq: q: \S+@\S+ has ended this turn: fire drill; the command is told to end\n/))
        #expect(sandbox.read("cleaned") == "cleaned\n", "it had time to clean up")
        #expect(try isGone(sandbox, "pid"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func theWholeProcessTreeIsDeadBeforeTheNextOneIsGranted() throws {
        let sandbox = try Sandbox()
        // One that ignores SIGTERM, one in a session of its own, one whose parent has ended, one that is stopped.
        let script = """
            trap '' TERM
            sh -c 'echo $$ > child; sleep 60; sleep 60' &
            setsid sh -c 'echo $$ > session; sleep 60; sleep 60' &
            (setsid sh -c 'echo $$ > orphan; sleep 60; sleep 60' &)
            sh -c 'echo $$ > stopped; kill -STOP $$; sleep 60' &
            echo $$ > command; wait; sleep 60
            """
        let semq = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", script)
        let names = ["child", "session", "orphan", "stopped", "command"]
        let pids = try names.map { try sandbox.pid(in: $0) }
        #expect(Event.happens { Processes.isStopped(pids[3]) })
        let check = pids.map { "[ -e /proc/\($0) ] && echo \($0) >> alive" }.joined(separator: "; ")
        let next = try sandbox.starting("acquire", "-q", "q", "--", "sh", "-c", check + "; exit 0")
        #expect(sandbox.queue("q") { $0.waiting.count == 1 })
        let began = ContinuousClock.now
        #expect(try release(sandbox, 1, grace: "0.5").status == .exited(0))
        #expect(ContinuousClock.now - began >= .milliseconds(500))
        #expect(semq.wait().status == .exited(76))
        #expect(next.wait().status == .exited(0))
        #expect(!sandbox.exists("alive"))
        #expect(!pids.contains(where: Processes.isAlive))
    }

    @Test func aHolderWhoseSemqWasKilledIsReleasedByItsGuardian() throws {
        let sandbox = try Sandbox()
        let semq = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", "echo $$ > pid; exec sleep 60")
        _ = try sandbox.pid(in: "pid")
        semq.send(SIGKILL)
        semq.wait()
        #expect(try !sandbox.isFree("q"))
        #expect(try release(sandbox, 1).status == .exited(0))
        #expect(try isGone(sandbox, "pid"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func aHolderWhoseGuardianWasKilledIsReleasedBySemq() throws {
        let sandbox = try Sandbox()
        let script = "setsid sleep 60 & echo $! > child; echo $$ > pid; wait"
        let semq = try sandbox.starting("acquire", "q", "--", "bash", "-c", script)
        _ = try sandbox.pid(in: "pid")
        let guardian = try #require(Processes.guardian(of: semq.pid))
        kill(guardian, SIGKILL)
        #expect(try release(sandbox, 1).status == .exited(0))
        let ended = semq.wait()
        #expect(ended.status == .exited(76))
        #expect(ended.err.contains(" has ended this turn: fire drill; the command is told to end\n"))
        for name in ["pid", "child"] { #expect(try isGone(sandbox, name)) }
        #expect(try sandbox.isFree("q"))
    }

    @Test func aReleasedWaiterLeavesTheQueueWith76AndTheReason() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let head = try sandbox.waiting("q", as: "head")
        let next = try sandbox.waiting("q", as: "next")
        for (waiter, name, ticket) in [(next, "next", 3), (head, "head", 2)] {
            let result = try release(sandbox, ticket)
            #expect(result.status == .exited(0))
            #expect(result.err.wholeMatch(of: /semq: q: took \S+@\S+ out of the queue: (\w+)\n/)?.1 ?? "" == name)
            let ended = waiter.wait()
            #expect(ended.status == .exited(76))
            #expect(ended.err.contains(/semq: q: \S+@\S+ took this turn out of the queue: fire drill\n/))
        }
        #expect(!holder.hasEnded)
        holder.stop()
        #expect(!sandbox.exists("log"))
    }

    @Test func aStoppedWaiterIsToldAndLeavesWhenItGoesOn() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiter = try sandbox.waiting(as: "patient")
        waiter.send(SIGSTOP)
        #expect(Event.happens { Processes.isStopped(waiter.pid) })
        let result = try sandbox.semq("release", "board.queue", "--ticket", "2", "--reason", "not today")
        #expect(result.status == .exited(0))
        let sentence = " (pid \(waiter.pid)) is stopped; it has been told, and leaves when it goes on (kill -CONT)\n"
        #expect(result.err.contains(sentence), "\(result.err)")
        waiter.send(SIGCONT)
        #expect(waiter.wait().status == .exited(76))
        #expect(waiter.err.contains("not today"), "\(waiter.err)")
        #expect(sandbox.queue { $0.waiting.isEmpty })
        holder.stop()
    }

    /// Its turn comes at the same time: either of both happens, and it is told which.
    @Test(arguments: [0, 10, 30, 60, 100]) func aWaiterAtItsTurn(_ milliseconds: Int) throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiter = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", "echo ran; exit 5")
        #expect(sandbox.queue { $0.waiting.count == 1 })
        let release = try sandbox.starting("release", "board.queue", "--ticket", "2", "--reason", "not today")
        usleep(UInt32(milliseconds * 1000))
        holder.send(SIGTERM)
        let (waited, released) = (waiter.wait(), release.wait())
        if released.err.contains("took ") {
            #expect(waited.status == .exited(76) && waited.out.isEmpty, "\(waited) \(released)")
        } else {
            // It has begun: its end may be its own, just before.
            #expect(released.status == .exited(1) || released.err.contains("ended the turn of "), "\(released)")
            #expect([.exited(76), .exited(5)].contains(waited.status), "\(waited) \(released)")
        }
        _ = holder.wait()
    }

    /// It is not its guardian's next look, a second later, that ends it.
    @Test func aHolderIsToldAtOnce() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "q", "--", "sh", "-c", "sleep 0.9; echo natural > end")
        #expect(sandbox.queue("q") { $0.holders.count == 1 })
        _ = try sandbox.semq("release", "q", "--ticket", "1", "--reason", "now")
        #expect(holder.wait().status == .exited(76))
        #expect(!sandbox.exists("end"))
    }

    /// The first to go wakes the second, which looks once, and is called right behind that.
    @Test func neighboursFarBackGoOneAfterTheOther() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        let waiters = try (1...20).map { _ in
            try sandbox.starting("acquire", "-q", "board.queue", "--", "true")
        }
        #expect(sandbox.queue { $0.waiting.count == waiters.count })
        for ticket in 16...20 {
            let release = try sandbox.starting("release", "board.queue", "--ticket", "\(ticket)", "--reason", "x")
            // By itself it would look 15 seconds later.
            #expect(Event.happens(within: 8) { release.hasEnded })
            #expect(release.wait().status == .exited(0))
        }
        for waiter in waiters { waiter.send(SIGTERM) }
        for waiter in waiters { _ = waiter.wait() }
        holder.stop()
    }

    @Test func aTicketThatIsGoneIsRefused() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let holder = try sandbox.holding("q")
        for ticket in [1, 3, 99] {
            let result = try release(sandbox, ticket)
            let sentence = "semq: q: no ticket \(ticket) waits or holds here (any more); see: semq status q\n"
            #expect(result == .init(status: .exited(1), out: "", err: sentence))
        }
        #expect(!holder.hasEnded)
        #expect(try release(sandbox, 2).status == .exited(0))
        #expect(holder.wait().status == .exited(76))
    }

    @Test func oneOfAPoolIsReleasedAndTheOthersGoOn() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("set", "q", "--concurrency", "3")
        let holders = try (1...3).map { try sandbox.holding("q", as: "holder \($0)") }
        #expect(try release(sandbox, 2).status == .exited(0))
        #expect(holders[1].wait().status == .exited(76))
        #expect(sandbox.view("q")?.holders.map(\.ticket) == [1, 3])
        for holder in [holders[0], holders[2]] {
            #expect(!holder.hasEnded)
            holder.stop()
        }
    }
}
