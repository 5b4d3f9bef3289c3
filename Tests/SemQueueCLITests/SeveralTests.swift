import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `--any` and `--all`.
@Suite struct SeveralTests {
    private static let show = ["sh", "-c", "echo \"$SEMQ_SEMAPHORE\" \"$SEMQ_TICKET\" \"$SEMQ_SLOT\""]

    private func run(_ sandbox: Sandbox, _ words: String...) throws -> Sandbox.Result {
        try sandbox.start([Sandbox.binary, "acquire"] + words).wait()
    }

    // MARK: any

    @Test func anyTakesTheFirstThatIsFree() throws {
        let sandbox = try Sandbox()
        let command = ["sh", "-c", "echo $SEMQ_SEMAPHORE"]
        let words = ["acquire", "-q", "--any", "a", "b", "c", "--"] + command
        #expect(try sandbox.start([Sandbox.binary] + words).wait().out == "a\n")
        let a = try sandbox.holding("a")
        #expect(try sandbox.start([Sandbox.binary] + words).wait().out == "b\n")
        let b = try sandbox.holding("b")
        #expect(try sandbox.start([Sandbox.binary] + words).wait().out == "c\n")
        for holder in [a, b] { holder.stop() }
    }

    @Test func anyWaitsForAllAndTakesWhicheverComesFirst() throws {
        let sandbox = try Sandbox()
        let holders = try ["a", "b", "c"].map { try sandbox.holding($0) }
        let waiter = try sandbox.starting(
            "acquire", "-m", "any", "--any", "a", "b", "c", "--", "sh", "-c",
            "echo $SEMQ_SEMAPHORE; : > runs; exec sleep 60"
        )
        for queue in ["a", "b", "c"] { #expect(sandbox.queue(queue) { $0.waiting.map(\.description) == ["any"] }) }
        holders[1].stop()
        #expect(Event.happens { sandbox.exists("runs") })
        #expect(waiter.out == "b\n")
        for queue in ["a", "c"] { #expect(sandbox.view(queue)?.waiting.isEmpty == true, "the rest is given up") }
        #expect(sandbox.view("b")?.holders.map(\.description) == ["any"])
        waiter.stop()
        for holder in holders { holder.stop() }
        for queue in ["a", "b", "c"] { #expect(try sandbox.isFree(queue)) }
    }

    @Test func whoWaitsForAnyIsToldOfAPause() throws {
        let sandbox = try Sandbox()
        let holders = try [sandbox.holding("a", as: "x"), sandbox.holding("b", as: "y")]
        let waiter = try sandbox.starting("acquire", "--any", "a", "b", "--", "true")
        #expect(Event.happens { waiter.err.contains("waiting for the first of 2: a held by") }, "\(waiter.err)")
        #expect(try sandbox.semq("set", "a", "--pause", "fix it").status == .exited(0))
        let told = #/waiting for the first of 2: a is paused by \S+: fix it; b held by \S+ \(pid \d+\) for \d+s: y\n/#
        #expect(Event.happens { waiter.err.contains(told) }, "\(waiter.err)")
        holders[1].stop()
        #expect(waiter.wait().status == .exited(0))
    }

    @Test func whoIsTakenOutOfOneQueueIsToldAndGoesOnWithTheOthers() throws {
        let sandbox = try Sandbox()
        let holders = try ["a", "b", "c"].map { try sandbox.holding($0) }
        let waiter = try sandbox.starting("acquire", "--any", "a", "b", "c", "--", "true")
        for (queue, reason) in [("b", "not here"), ("a", "nor there"), ("c", "nor anywhere")] {
            #expect(sandbox.queue(queue) { $0.waiting.count == 1 })
            let result = try sandbox.semq("release", queue, "--ticket", "2", "--reason", reason)
            #expect(result.status == .exited(0), "\(result.err)")
        }
        #expect(waiter.wait().status == .exited(76))
        let told = waiter.err.split(separator: "\n").filter { $0.contains("took this turn out of the queue") }
        #expect(told.count == 3, "\(waiter.err)")
        let all =
            #/semq: b: \S+ took this turn out of the queue: not here \(left out\)\nsemq: a: \S+ took this turn out of the queue: nor there \(left out\)\nsemq: c: \S+ took this turn out of the queue: nor anywhere/#
        #expect(told.joined(separator: "\n").wholeMatch(of: all) != nil, "\(told)")
        for holder in holders { holder.stop() }
    }

    @Test func anyIsBusyOnlyWhenAllAre() throws {
        let sandbox = try Sandbox()
        let holders = try ["a", "b"].map { try sandbox.holding($0) }
        #expect(try run(sandbox, "-q", "-n", "--any", "a", "b", "--", "true").status == .exited(75))
        for (words, verb) in [(["-n"], "busy"), (["-w", "0.2"], "not granted in time")] {
            let result = try sandbox.start([Sandbox.binary, "acquire", "--any"] + words + ["a", "b"]).wait()
            let told = result.err.split(separator: "\n").suffix(2)
            #expect(result.status == .exited(75))
            #expect(
                told.count == 2 && zip(told, ["a", "b"]).allSatisfy { $0.hasPrefix("semq: \($1): \(verb): held by ") },
                "\(result.err)")
        }
        #expect(try run(sandbox, "-q", "-w", "0.2", "--any", "a", "b", "--", "true").status == .exited(75))
        for queue in ["a", "b"] { #expect(sandbox.view(queue)?.waiting.isEmpty == true) }
        holders[0].stop()
        #expect(try run(sandbox, "-q", "-n", "--any", "a", "b", "--", "true").status == .exited(0))
        holders[1].stop()
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGKILL])
    func aWaiterForAnyThatIsEndedLeavesEveryQueue(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let holders = try ["a", "b"].map { try sandbox.holding($0) }
        let waiter = try sandbox.starting("acquire", "-q", "--any", "a", "b", "--", "touch", "ran")
        for queue in ["a", "b"] { #expect(sandbox.queue(queue) { !$0.waiting.isEmpty }) }
        waiter.send(signal)
        #expect(waiter.wait().status == .signaled(signal))
        for queue in ["a", "b"] { #expect(sandbox.queue(queue) { $0.waiting.isEmpty }) }
        for holder in holders { holder.stop() }
        for queue in ["a", "b"] { #expect(try sandbox.isFree(queue)) }
        #expect(!sandbox.exists("ran"))
    }

    // MARK: all

    @Test func allGivesOneLineForEachInTheOrderGiven() throws {
        let sandbox = try Sandbox()
        _ = try run(sandbox, "-q", "b", "--", "true")
        let result = try sandbox.start([Sandbox.binary, "acquire", "-q", "--all", "c", "b", "a", "--"] + Self.show)
            .wait()
        #expect(result.out == "c\nb\na 1\n2\n1 0\n0\n0\n")
        for queue in ["a", "b", "c"] { #expect(try sandbox.isFree(queue)) }
    }

    @Test func theSameFileUnderTwoNamesCountsOnce() throws {
        let sandbox = try Sandbox()
        mkdir(sandbox.path("dir"), 0o755)
        for mode in ["--all", "--any"] {
            let words = ["acquire", "-q", mode, "a", "./a", "dir/../a", sandbox.path("a"), "--"]
            let result = try sandbox.start([Sandbox.binary] + words + ["sh", "-c", "echo \"$SEMQ_SEMAPHORE\""]).wait()
            #expect(result == .init(status: .exited(0), out: "a\n", err: ""))
        }
        #expect(link(sandbox.path("a"), sandbox.path("hard")) == 0)
        let hard = try sandbox.semq(
            "acquire", "-q", "-w", "10", "--all", "hard", "a", "--", "sh", "-c", "echo $SEMQ_SEMAPHORE")
        #expect(hard == .init(status: .exited(0), out: "hard\n", err: ""))
    }

    /// It has the same random name.
    @Test func aCopiedFileIsAnotherQueue() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.shell("semq acquire -q a -- true && cp a b && cp a c").status == .exited(0))
        let holder = try sandbox.holding("b")
        for names in [["a", "b"], ["b", "a"], ["a", "./a", "b"], ["c", "a", "b"]] {
            let words = ["acquire", "-q", "-n", "--all"] + names + ["--", "touch", "ran"]
            #expect(try sandbox.start([Sandbox.binary] + words).wait().status == .exited(75), "\(names)")
        }
        #expect(!sandbox.exists("ran"))
        let inside = try sandbox.semq("acquire", "-q", "a", "--", "semq", "acquire", "-q", "-n", "b", "--", "true")
        #expect(inside.status == .exited(75))
        let any = try sandbox.semq("acquire", "-q", "--any", "b", "c", "--", "sh", "-c", "echo $SEMQ_SEMAPHORE")
        #expect(any.out == "c\n")
        holder.stop()
        let show = "sh -c 'echo $SEMQ_SEMAPHORE'"
        #expect(try sandbox.shell("semq acquire -q --all c a b ./b -- \(show)").out == "c a b\n")
    }

    /// All who want several copies climb in one order, too.
    @Test func copiesNeverLockEachOtherUp() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.shell("semq acquire -q a -- true && cp a b && cp a c").status == .exited(0))
        let runners = try ["a b c", "c b a", "b c", "c a"].map { names in
            try sandbox.startingShell(
                "for i in 1 2 3 4; do semq acquire -q -w 30 --all \(names) -- sh -c "
                    + "'for q in $SEMQ_SEMAPHORE; do mkdir in.$q || exit 1; done; sleep 0.01; "
                    + "for q in $SEMQ_SEMAPHORE; do rmdir in.$q; done' || exit; done")
        }
        for runner in runners { #expect(runner.wait() == .init(status: .exited(0), out: "", err: "")) }
    }

    @Test func failureOfOneGivesAllBackAndTheCommandDoesNotRun() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("b")
        for words in [["-n"], ["-w", "0.3"]] {
            let all = ["acquire", "-q", "--all"] + words + ["a", "b", "c", "--", "touch", "ran"]
            #expect(try sandbox.start([Sandbox.binary] + all).wait().status == .exited(75))
            for queue in ["a", "c"] { #expect(try sandbox.isFree(queue)) }
        }
        #expect(sandbox.view("b")?.waiting.isEmpty == true)
        try sandbox.write("d", "no queue\n")
        #expect(try run(sandbox, "-q", "--all", "a", "d", "c", "--", "touch", "ran").status == .exited(65))
        for queue in ["a", "c"] { #expect(try sandbox.isFree(queue)) }
        #expect(!sandbox.exists("ran"))
        holder.stop()
    }

    @Test func aWaiterForAllThatIsKilledGivesBackWhatItHeldAlready() throws {
        let sandbox = try Sandbox()
        let holders = try ["a", "b", "c"].map { try sandbox.holding($0) }
        let waiter = try sandbox.starting("acquire", "-q", "-m", "all", "--all", "a", "b", "c", "--", "touch", "ran")
        #expect(Event.happens { ["a", "b", "c"].contains { sandbox.view($0)?.waiting.isEmpty == false } })
        // Two of three are free now; which of them it gets before it must wait is the queues' random order.
        holders[0].stop()
        holders[2].stop()
        #expect(sandbox.queue("b") { $0.waiting.map(\.description) == ["all"] })
        waiter.send(SIGKILL)
        waiter.wait()
        for queue in ["a", "c"] { #expect(Event.happens { (try? sandbox.isFree(queue)) == true }) }
        holders[1].stop()
        #expect(!sandbox.exists("ran"))
    }

    @Test func overlappingSetsInAnyOrderByManyProcessesNeverLockEachOtherUp() throws {
        let sandbox = try Sandbox()
        let sets = [
            ["a", "b"], ["b", "a"], ["b", "c"], ["c", "a"], ["a", "b", "c"], ["c", "b", "a"], ["d", "a"],
            ["c", "d", "b"],
        ]
        for name in ["a", "b", "c", "d"] { try sandbox.write("count.\(name)", "0\n") }
        // Each command adds one to a counter of each of its queues, which would lose counts if two ran at once.
        let script = "for q in $SEMQ_SEMAPHORE; do read n < count.$q; sleep 0.001; echo $((n + 1)) > count.$q; done"
        let rounds = 4
        let runners = try sets.map { set in
            let names = set.joined(separator: " ")
            return try sandbox.startingShell(
                "for i in $(seq \(rounds)); do semq acquire -q --all \(names) -- bash -c '\(script)' || exit; done")
        }
        for runner in runners { #expect(runner.wait() == .init(status: .exited(0), out: "", err: "")) }
        for name in ["a", "b", "c", "d"] {
            let users = sets.count { $0.contains(name) }
            #expect(sandbox.read("count.\(name)") == "\(users * rounds)\n")
        }
    }

    @Test func oneSlotOfAPoolIsTakenOfEach() throws {
        let sandbox = try Sandbox()
        for queue in ["a", "b"] { _ = try sandbox.semq("set", queue, "--concurrency", "2") }
        let first = try sandbox.starting("acquire", "-q", "--all", "a", "b", "--", "sleep", "60")
        #expect(sandbox.queue("a") { $0.holders.count == 1 } && sandbox.queue("b") { $0.holders.count == 1 })
        let second = try sandbox.starting("acquire", "-q", "--all", "b", "a", "--", "sleep", "60")
        #expect(sandbox.queue("a") { $0.holders.count == 2 } && sandbox.queue("b") { $0.holders.count == 2 })
        #expect(try run(sandbox, "-q", "-n", "--all", "a", "b", "--", "true").status == .exited(75))
        for holder in [first, second] { holder.stop() }
        #expect(try run(sandbox, "-q", "-n", "--all", "a", "b", "--", "true").status == .exited(0))
    }
}
