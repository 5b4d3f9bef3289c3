import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Several semaphores at once, here and on two hosts, and commands that acquire what is held around them.
@Suite(.onHosts) struct SeveralHostsTests {
    private let scene: Scene
    private let other: TestHost
    private let one: TestHost
    private let two: TestHost

    private let here: String
    private let there = ["lab@bench:board.queue", "lab@other:board.queue"]

    init() throws {
        scene = try Scene()
        other = try scene.lab.host("other")
        (one, two) = (try scene.client("one"), try scene.client("two"))
        here = scene.sandbox.path("here.queue")
    }

    /// `semq acquire` by the way that the scene's clients go.
    private var acquire: [String] { ["semq", "acquire"] + scene.transport.options }

    private func isFree(_ queue: String) throws -> Bool {
        try two.start(acquire + ["-q", "-n", queue, "--", "true"]).wait().status == .exited(0)
    }

    @Test(arguments: Transport.allCases) func allOfThemHereAndThere(_ transport: Transport) throws {
        scene.transport = transport
        let all = [here] + there
        let holder = try scene.start("a", on: one, words: ["--all"] + all)
        #expect(Event.happens { holder.isIn }, "\(holder.said)")
        for queue in all { #expect(try !isFree(queue), "\(queue)") }
        try expectLeaves(holder)
        for queue in all { #expect(try isFree(queue), "\(queue)") }
        let told = try one.start(
            acquire + ["-q", "--all"] + all + ["--", "sh", "-c", "echo \"$SEMQ_SEMAPHORE\""])
        #expect(told.wait().out == all.joined(separator: "\n") + "\n")
    }

    /// Everybody climbs in the same order, however they name them.
    @Test(arguments: Transport.allCases) func allOfThemInAnyOrderWithoutDeadlock(_ transport: Transport) throws {
        scene.transport = transport
        let orders = [[here] + there, there.reversed() + [here]]
        let rounds = 4
        let runs = try zip([one, two], orders).map { client, order in
            let turns = try (0..<rounds).map { number in
                try scene.sandbox.write("leave.\(client.name)\(number)", "")
                return (acquire + ["-q", "--all"] + order + ["--"] + scene.work("\(client.name)\(number)"))
                    .joined(separator: " ")
            }
            return try client.start(["/bin/sh", "-c", turns.joined(separator: " && ")])
        }
        for run in runs { #expect(run.wait().status == .exited(0), "\(run.err)") }
        #expect(scene.timeline.entries.count == 2 * rounds && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// Otherwise it would wait for itself.
    @Test(arguments: Transport.allCases) func theSameQueueByTwoNamesCountsOnce(_ transport: Transport) throws {
        scene.transport = transport
        let names = ["lab@bench:board.queue", "lab@bench-6:/home/lab/board.queue", "lab@bench:./board.queue"]
        for mode in ["--all", "--any"] {
            let result = try one.start(
                acquire + ["-q", mode] + names + ["--", "sh", "-c", "echo \"$SEMQ_TICKET\""]
            ).wait()
            #expect(result.status == .exited(0), "\(result.err)")
            #expect(result.out.split(separator: "\n").count == 1, "\(mode): \(result.out)")
        }
    }

    @Test(arguments: Transport.allCases) func theFirstToBeHad(_ transport: Transport) throws {
        scene.transport = transport
        let holders = try [here, there[0]].enumerated().map { number, queue in
            try scene.holding("a\(number)", on: two, at: queue)
        }
        let free = try scene.start("b", on: one, words: ["--any"] + [here] + there)
        #expect(Event.happens { free.isIn }, "\(free.said)")
        #expect(try !isFree(there[1]))
        let next = try scene.start("c", on: one, words: ["--any"] + [here] + there)
        #expect(Event.happens { next.says("waiting for the first of 3") }, "\(next.said)")
        try expectLeaves(holders[1])
        #expect(Event.happens { next.isIn }, "\(next.said)")
        try expectLeaves(free)
        #expect(try isFree(there[1]), "nobody waits there any more")
        try expectLeaves(next)
        try expectLeaves(holders[0])
    }

    /// One that can't be reached is left out as long as others can.
    @Test(arguments: Transport.allCases) func theFirstToBeHadWhereOneCannotBeReached(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("h", on: two, at: there[0])
        try other.sshd(.stop)
        let one = try scene.start("a", on: one, words: ["--any", there[1], there[0]])
        func isLeftOut(_ line: String) -> Bool { line.contains("lab@other") && line.hasSuffix("(left out)") }
        #expect(Event.happens { one.said.contains(where: isLeftOut) }, "it says which: \(one.said)")
        try expectLeaves(holder)
        #expect(Event.happens { one.isIn }, "\(one.said)")
        let waiter = try scene.start("b", on: two, words: ["--any", there[1], there[0]])
        #expect(Event.happens { waiter.says("semq: waiting: \(there[0]) is not free") }, "\(waiter.said)")
        try expectLeaves(one)
        try expectLeaves(waiter)
        let busy = try scene.holding("h2", on: two, at: there[0])
        let refused = try two.start(acquire + ["-n", "--any"] + there + ["--", "true"]).wait()
        #expect(refused.status == .exited(75), "\(refused.err)")
        #expect(refused.err.contains("lab@other") && refused.err.contains("left out"), "\(refused.err)")
        try expectLeaves(busy)
        try scene.bench.sshd(.stop)
        let none = try two.start(acquire + ["--any"] + there + ["--", "true"]).wait()
        #expect(none.status == .exited(69), "\(none.err)")
        for host in ["lab@bench: ", "lab@other: "] {
            #expect(none.err.split(separator: "\n").count { $0.contains(host) } == 1, "\(none.err)")
        }
    }

    /// Whether it is free isn't known of a host that wasn't reached.
    @Test func theFirstToBeHadWhereOneDoesNotAnswer() throws {
        try other.sshd(.stop)
        try scene.bench.drop(one)
        let turn = try scene.start("a", on: one, words: ["--any"] + there)
        #expect(Event.happens { turn.says("semq: waiting: connecting to lab@bench\n") }, "\(turn.said)")
        #expect(!turn.says("is not free"), "\(turn.said)")
    }

    @Test(arguments: Transport.allCases) func allOfThemWhereOneCannotBeReached(_ transport: Transport) throws {
        scene.transport = transport
        try other.sshd(.stop)
        let result = try one.start(acquire + ["--all"] + there + ["--", "true"]).wait()
        #expect(result.status == .exited(69) && result.err.contains("lab@other"), "\(result.err)")
        #expect(try isFree(there[0]))
    }

    /// The command dies, all of it, and what is held elsewhere is free at once.
    @Test(arguments: Transport.allCases) func allOfThemAndOneIsCutOff(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.start("a", on: one, words: ["--all"] + there, manners: "dt")
        #expect(Event.happens { holder.isIn }, "\(holder.said)")
        try other.drop(one)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("semq: lab@other:board.queue: the lock is lost"), "\(holder.said)")
        #expect(try isFree(there[0]))
        let next = try scene.holding("b", on: two, at: there[1])
        try expectLeaves(next)
        #expect(scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// What was held already is given back in good order.
    @Test(arguments: [SIGINT, SIGTERM], Transport.allCases)
    func allOfThemGivenUpWhileWaitingForOne(_ signal: Int32, _ transport: Transport) throws {
        scene.transport = transport
        let holders = try there.map { try scene.holding("a" + $0, on: two, at: $0) }
        let waiter = try scene.start("b", on: one, words: ["--lease", "60", "--all"] + there)
        #expect(Event.happens { waiter.says("in line") }, "\(waiter.said)")
        // It holds one of them by and by, and waits for the other.
        for (number, holder) in holders.enumerated() {
            try expectLeaves(holder)
            let host = number == 0 ? scene.bench : other
            let isNext = Scene.comesToBe(within: 2) { waiter.isIn || ((try? host.waits("b")) == false) }
            if waiter.isIn { break }
            if isNext {
                kill(try waiter.front, signal)
                #expect(waiter.running.wait().status == .signaled(signal), "\(waiter.said)")
                // Long before a lease that nobody had said goodbye to would be over.
                let third = try scene.holding("c", on: two, at: there[number])
                try expectLeaves(third)
                return
            }
        }
        try #require(waiter.isIn, "\(waiter.said)")
    }

    // MARK: nested

    /// A command whose ancestor holds the queue runs under that permit, by whatever name it asks for it.
    @Test(arguments: Transport.allCases) func anAcquireWithinAnAcquire(_ transport: Transport) throws {
        scene.transport = transport
        let semq = acquire.joined(separator: " ")
        for inner in [there[0], "lab@bench-6:/home/lab/board.queue", "root@bench:/home/lab/board.queue"] {
            let line = "echo $SEMQ_TICKET; exec \(semq) -q -n \(inner) -- sh -c 'echo $SEMQ_TICKET'"
            let result = try one.start(acquire + ["-q", there[0], "--", "sh", "-c", line]).wait()
            #expect(result.status == .exited(0), "\(inner): \(result.err)")
            let tickets = result.out.split(separator: "\n")
            #expect(tickets.count == 2 && tickets.first == tickets.last, "\(inner): \(result.out)")
        }
        #expect(scene.becomesFree())
    }

    /// It would have to be changed for all: the permit around it isn't asked.
    @Test(arguments: Transport.allCases) func theInnerOneWantsAnotherConcurrency(_ transport: Transport) throws {
        scene.transport = transport
        for (concurrency, status) in [("2", Sandbox.Status.exited(64)), ("1", .exited(0))] {
            let inner = acquire + ["--concurrency", concurrency, there[0], "--", "true"]
            let result = try one.start(acquire + ["-q", there[0], "--"] + inner).wait()
            #expect(result.status == status, "\(result.err)")
            let isRefused = result.err.contains("\(there[0]): this queue was made with concurrency 1, not 2")
            #expect(isRefused == (concurrency == "2"), "\(result.err)")
        }
        #expect(scene.becomesFree())
    }

    /// What runs nested keeps the permit, though the command around it has ended.
    @Test(arguments: Transport.allCases) func theInnerOneKeepsThePermit(_ transport: Transport) throws {
        scene.transport = transport
        let inner = (acquire + ["-q", there[0], "--"] + scene.work("inner")).joined(separator: " ")
        let line = "\(inner) & until [ -e \(scene.sandbox.path("log.in.inner")) ]; do sleep 0.01; done"
        let outer = try one.start(acquire + ["-q", there[0], "--", "sh", "-c", line])
        #expect(Event.happens { scene.sandbox.exists("log.in.inner") }, "\(outer.err)")
        let next = try scene.start("b", on: two)
        let isIn = Event.happens(within: 2) { next.isIn }
        #expect(!isIn)
        try scene.sandbox.write("leave.inner", "")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["inner", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(outer.wait().status == .exited(0), "\(outer.err)")
    }
}

extension TestHost {
    /// Whether somebody waits there by that description.
    fileprivate func waits(_ name: String) throws -> Bool {
        let result = try shell("cd; exec .cache/semq/*/semq status --json board.queue", user: "lab")
        return try JSONDecoder().decode(Scene.Status.self, from: Data(result.out.utf8)).waits(name)
    }
}
