import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Connections that break while somebody waits or holds, and agents that die.
@Suite(.onHosts) struct CutTests {
    private let scene: Scene
    private let one: TestHost
    private let two: TestHost

    /// A lease for cuts that are to be survived, by a busy machine too; with a longer one a connection is replaced
    /// before anybody is told that it is silent.
    private static let steady = ["--lease", "10"]
    private static let steadySeconds = 10.0

    init() throws {
        scene = try Scene()
        (one, two) = (try scene.client("one"), try scene.client("two"))
    }

    private func expectOrder(_ names: String...) {
        #expect(scene.timeline.names == names && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    // MARK: short cuts

    /// Less than 0.6 of the lease: the command never notices.
    @Test(arguments: [TestHost.Direction.both, .into, .out], Transport.allCases)
    func aShortCutWhileHolding(_ direction: TestHost.Direction, _ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, Self.steady)
        let before = try scene.status().holders
        let next = try scene.waiting("b", on: two, Self.steady)
        try scene.bench.drop(one, direction)
        #expect(Event.happens { holder.says("the connection is lost; the command is ended in") }, "\(holder.said)")
        try scene.bench.heal()
        #expect(Event.happens { holder.says("connected again after") }, "\(holder.said)")
        // Well past the lease of before.
        let isDisturbed = Event.happens(within: Self.steadySeconds) { holder.running.hasEnded || next.isIn }
        #expect(!isDisturbed)
        #expect(holder.said.count { $0.contains("the connection is lost") } == 1, "\(holder.said)")
        #expect(try scene.status().holders.map(\.token) == before.map(\.token))
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(scene.becomesFree())
    }

    /// Somebody clears /tmp there, and then the connection breaks.
    @Test(arguments: ["find /tmp/semq-* -type s -delete", "rm -rf /tmp/semq-*"])
    func theAgentsSocketIsTakenAway(_ cleaning: String) throws {
        let holder = try scene.holding("a", on: one, Self.steady)
        let next = try scene.waiting("b", on: two, Self.steady)
        #expect(try scene.bench.shell(cleaning).status == .exited(0))
        try scene.bench.resetConnections()
        for turn in [holder, next] {
            #expect(Event.happens { turn.says("connected again") || turn.running.hasEnded }, "\(turn.said)")
        }
        let folder = try scene.bench.shell("stat -c '%A %U' /tmp/semq-*").out
        #expect(folder == "drwx------ lab\n", "\(folder)")
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
        let isTidy = Scene.comesToBe { (try? scene.bench.shell("find /tmp/semq-* -type s").out.isEmpty) == true }
        #expect(isTidy)
    }

    @Test(arguments: Transport.allCases) func aShortCutWhileWaitingKeepsThePlace(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, Self.steady)
        let next = try scene.waiting("b", on: two, Self.steady)
        let ticket = try #require(try scene.status().waiting.first?.ticket)
        let third = try scene.waiting("c", on: scene.client("three"), Self.steady)
        try scene.bench.drop(two)
        #expect(Event.happens { next.says("the connection is lost") }, "\(next.said)")
        try scene.bench.heal()
        #expect(Event.happens { next.says("connected again after") }, "\(next.said)")
        #expect(try scene.status().waiting.first?.ticket == ticket)
        try third.leave()
        try expectLeaves(holder)
        try expectLeaves(next)
        try expectLeaves(third)
        expectOrder("a", "b", "c")
    }

    /// Its turn comes while it is cut off: it is passed at once, and is the next when it is back.
    @Test(arguments: Transport.allCases) func aWaiterThatIsCutOffBlocksNobody(_ transport: Transport) throws {
        scene.transport = transport
        let long = ["--lease", "60"]
        let holder = try scene.holding("a", on: one, long)
        let next = try scene.waiting("b", on: two, long)
        let third = try scene.waiting("c", on: scene.client("three"))
        let fourth = try scene.waiting("d", on: one, long)
        try scene.bench.drop(two)
        try expectLeaves(holder)
        #expect(Event.happens { third.isIn }, "\(third.said)")
        #expect(try scene.status().waiting.first?.cut_off == true)
        try scene.bench.heal()
        // Perhaps before anybody was told of the cut.
        let isBack = Scene.comesToBe {
            let first = try? scene.status().waiting.first
            return first?.description == "b" && first?.stopped == false
        }
        #expect(isBack, "\(next.said)")
        try expectLeaves(third)
        try expectLeaves(next)
        try expectLeaves(fourth)
        expectOrder("a", "c", "b", "d")
        #expect(scene.becomesFree())
    }

    @Test(arguments: Transport.allCases) func tenCutsInARow(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, Self.steady)
        let next = try scene.waiting("b", on: two, Self.steady)
        func isCut(_ turn: Scene.Turn) -> Bool {
            let news = turn.said.last { $0.contains("the connection is lost") || $0.contains("connected again after") }
            return news?.contains("lost") == true
        }
        for number in 1...10 {
            if number.isMultiple(of: 2) {
                try scene.bench.resetConnections()
                // Told, unless a connection was about to be replaced just then.
                _ = Event.happens(within: 0.5) { isCut(holder) || isCut(next) }
            } else {
                try scene.bench.drop()
                #expect(Event.happens { isCut(holder) && isCut(next) }, "\(number): \(holder.said) \(next.said)")
                try scene.bench.heal()
            }
            #expect(Event.happens { !isCut(holder) && !isCut(next) }, "\(number): \(holder.said) \(next.said)")
            try #require(!holder.running.hasEnded && !next.running.hasEnded && !next.isIn)
        }
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(scene.becomesFree())
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true })
    }

    /// One side knows nothing of the connection any more, the other still believes in it.
    @Test(arguments: [true, false], Transport.allCases)
    func aHalfOpenConnection(theHostBelievesInIt: Bool, _ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, Self.steady)
        let next = try scene.waiting("b", on: two, Self.steady)
        try scene.bench.drop(one)
        try (theHostBelievesInIt ? one : scene.bench).resetConnections(theHostBelievesInIt ? scene.bench : one)
        #expect(Event.happens { holder.says("the connection is lost") }, "\(holder.said)")
        if !theHostBelievesInIt { #expect(try scene.status().holders.first?.cut_off == true) }
        try scene.bench.heal()
        #expect(Event.happens { holder.says("connected again after") }, "\(holder.said)")
        #expect(try scene.status().holders.first?.cut_off == nil)
        let isDisturbed = Event.happens(within: Self.steadySeconds) { holder.running.hasEnded || next.isIn }
        #expect(!isDisturbed)
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
    }

    // MARK: long cuts

    /// All that the holder has started is dead before anybody else is let in; that it doesn't heed SIGTERM, and that
    /// a part of it has left its session, doesn't matter.
    @Test(arguments: ["d", "dt"], Transport.allCases)
    func aLongCutWhileHolding(_ manners: String, _ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, manners: manners)
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(one)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        let told = try #require(
            holder.running.err.firstMatch(
                of: #/semq: lab@bench:board.queue: the lock is lost: no answer from the host for ([\d.]+) s;/#))
        #expect(holder.said.last?.hasPrefix(told.0) == true, "nothing of the kind comes after it: \(holder.said)")
        // From 0.7 of the lease on, and done by 0.93.
        #expect((3.5..<4.65).contains(try #require(Double(told.1))), "\(told.0)")
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(try one.processes().allSatisfy { $0.name != "worker" })
        let margin = try #require(scene.timeline.smallestMargin)
        // By design 0.07 of the lease and what a heartbeat is old; less the time that reaping takes.
        #expect(margin > 0, "\(margin / 1_000_000) ms")
        #expect(scene.becomesFree())
    }

    /// Held without a command: then none is ended.
    @Test func aLongCutOfACoprocess() throws {
        let input = scene.sandbox.path("input")
        try #require(mkfifo(input, 0o600) == 0)
        let end = open(input, O_RDWR | O_CLOEXEC)
        defer { close(end) }
        let running = try one.start(["semq", "acquire", "--lease", "5", "lab@bench:board.queue"], input: input)
        try #require(Event.happens { running.out.hasPrefix("acquired ") }, "\(running.err)")
        try scene.bench.drop(one)
        #expect(running.wait().status == .exited(76))
        let news = /queue: the connection is lost; the lock is lost in [\d.]+ s unless it is back\n/
        #expect(running.err.contains(news), "\(running.err)")
        #expect(!running.err.contains("command"), "\(running.err)")
    }

    /// Its turn was ended with a long grace, and then its connection: the lease doesn't wait for the grace.
    @Test(arguments: Transport.allCases) func aLongCutWhileATurnIsBeingEnded(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, manners: "dt")
        let next = try scene.waiting("b", on: two)
        let ticket = try #require(try scene.status().holders.first).ticket
        let release = "cd; exec .cache/semq/*/semq release board.queue --ticket \(ticket) --reason lunch --grace 600"
        let kick = try scene.bench.start(["/bin/sh", "-c", release], user: "lab")
        #expect(Event.happens { holder.says("has ended this turn: lunch") }, "\(holder.said)")
        let wasDisturbed = Event.happens(within: 1) { holder.running.hasEnded || next.isIn }
        #expect(!wasDisturbed)
        try scene.bench.drop(one)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(try #require(scene.timeline.smallestMargin) > 0)
        kick.send(SIGKILL)
        #expect(scene.becomesFree())
    }

    @Test(arguments: Transport.allCases) func aLongCutWhileWaiting(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(two)
        #expect(next.running.wait().status == .exited(69), "\(next.said)")
        #expect(next.says("lab@bench:board.queue: no connection for 5 s, so the place is lost"), "\(next.said)")
        try expectLeaves(holder)
        expectOrder("a")
        #expect(scene.becomesFree())
    }

    @Test(arguments: Transport.allCases) func aLongCutWhileWaitingWithRetries(_ transport: Transport) throws {
        scene.transport = transport
        let long = ["--lease", "60"]
        let holder = try scene.holding("a", on: one, long)
        let next = try scene.waiting("b", on: two, ["--retry-connect", "60"])
        let third = try scene.waiting("c", on: scene.client("three"), long)
        try scene.bench.drop(two)
        #expect(Event.happens { next.says("so the place is lost; queues again") }, "\(next.said)")
        try scene.bench.heal()
        #expect(Scene.comesToBe { (try? scene.status().waits("b")) == true }, "\(next.said)")
        try expectLeaves(holder)
        try expectLeaves(third)
        try expectLeaves(next)
        expectOrder("a", "c", "b")
    }

    /// Guarantee 5 is given up, and semq says so.
    @Test(arguments: Transport.allCases) func aLongCutWhereTheLossIsOnlyAWarning(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, ["--on-lost", "warn"])
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(one)
        #expect(Event.happens { next.isIn }, "\(next.said)")
        #expect(!holder.running.hasEnded)
        #expect(holder.says("the connection is lost; the lock is lost in"), "\(holder.said)")
        #expect(holder.says("the lock is lost: no connection") && holder.says("the command goes on, perhaps not alone"))
        try next.leave()
        #expect(next.running.wait().status == .exited(0), "\(next.said)")
        try scene.bench.heal()
        try holder.leave()
        #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
        #expect(scene.complaint != nil, "it is seen when two are inside")
        #expect(scene.becomesFree())
    }

    /// Its end counts, though the others have to wait for the lease; who had it should know.
    @Test(arguments: [5, 10], Transport.allCases) func aTurnThatEndsDuringACut(_ lease: Int, _ transport: Transport)
        throws
    {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, ["--lease", "\(lease)"])
        let next = try scene.waiting("b", on: two, Self.steady)
        try scene.bench.drop(one)
        #expect(Event.happens { holder.says("the connection is lost; the command is ended in") }, "\(holder.said)")
        try holder.leave()
        #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
        let sentence =
            "lab@bench:board.queue: the host could not be told that this turn is over; it keeps the slot until the lease of "
            + "\(lease) s is over, or up to twice as long"
        #expect(holder.said.last == "semq: \(sentence)", "\(holder.said)")
        #expect(Event.happens(within: 3 * Self.steadySeconds) { next.isIn }, "\(next.said)")
        try expectLeaves(next)
        expectOrder("a", "b")
    }

    /// It answers, and whoever looks for the fault should not look at the network.
    @Test(arguments: Transport.allCases) func aHostThatLetsNobodyInAgain(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: two)
        #expect(try scene.bench.shell("mv ~/.ssh/authorized_keys ~/.ssh/aside", user: "lab").status == .exited(0))
        try scene.bench.resetConnections()
        let why = transport == .own ? "does not let lab log in" : "Permission denied"
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("the lock is lost: ") && holder.said.last?.contains(why) == true, "\(holder.said)")
        #expect(next.running.wait().status == .exited(77), "\(next.said)")
        #expect(next.said.last?.contains(why) == true, "\(next.said)")
    }

    // MARK: the host's side

    @Test(arguments: Transport.allCases) func sshdsChildIsKilled(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, ["--lease", "60"])
        let next = try scene.waiting("b", on: two, ["--lease", "60"])
        try scene.bench.signal(.kill)
        for turn in [holder, next] {
            #expect(Event.happens { turn.says("connected again after") }, "\(turn.said)")
        }
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
    }

    @Test(arguments: Transport.allCases) func sshdsChildStandsStill(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, Self.steady)
        let next = try scene.waiting("b", on: two, Self.steady)
        try scene.bench.signal(.stop)
        for turn in [holder, next] {
            #expect(Event.happens { turn.says("connected again after") }, "\(turn.said)")
        }
        let isDisturbed = Event.happens(within: Self.steadySeconds) { holder.running.hasEnded || next.isIn }
        #expect(!isDisturbed)
        try scene.bench.signal(.continue)
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
    }

    /// An agent that died is not resumed; what the lock was for is dead before the next one's turn.
    @Test(arguments: ["d", "dt"], Transport.allCases)
    func aHoldersAgentIsKilled(_ manners: String, _ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, Self.steady, manners: manners)
        let agent = try #require(try scene.agents().first?.pid)
        let next = try scene.waiting("b", on: two)
        kill(agent, SIGKILL)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("the agent that held the place is no longer there"), "\(holder.said)")
        #expect(try scene.status().holders.first?.cut_off == true)
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(scene.becomesFree())
    }

    /// Its record is gone with it: whoever finds that waits for as long as any lease may be. One way for each damage:
    /// that time is long.
    @Test(
        arguments: zip(
            ["truncate -s 0 board.queue", "yes garbage | head -c 65536 | dd of=board.queue conv=notrunc"],
            Transport.allCases))
    func aHoldersAgentIsKilledAndTheFileDamaged(_ damage: String, _ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, manners: "dt")
        let agent = try #require(try scene.agents().first?.pid)
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(one)
        kill(agent, SIGKILL)
        #expect(try scene.bench.shell("cd; \(damage)", user: "lab").status == .exited(0))
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(Event.happens(within: 75) { next.isIn }, "\(next.said)")
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(try #require(scene.timeline.smallestMargin) > 50_000_000_000)
    }

    @Test(arguments: Transport.allCases) func aWaitersAgentIsKilled(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: two)
        kill(try #require(try scene.agents().last?.pid), SIGKILL)
        #expect(Event.happens { next.says("queues again") }, "\(next.said)")
        #expect(Scene.comesToBe { (try? scene.status().waits("b")) == true }, "\(next.said)")
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
    }

    /// The kernel keeps the lock for it; its client can't know that, and has ended its command.
    @Test(arguments: Transport.allCases) func aHoldersAgentStandsStill(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one)
        let agent = try #require(try scene.agents().first?.pid)
        let next = try scene.waiting("b", on: two)
        kill(agent, SIGSTOP)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        let isIn = Event.happens(within: Scene.lease) { next.isIn }
        #expect(!isIn)
        // Its lease is long over, and people see why nobody is let in.
        let status = try scene.statusText()
        #expect(status.contains(#""stopped": true, "lease_expires""#), "\(status)")
        kill(agent, SIGCONT)
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(scene.becomesFree())
    }

    /// It can't block the team for more than seconds.
    @Test(arguments: Transport.allCases) func aWaitersAgentStandsStill(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: two, ["--retry-connect", "60"])
        let agent = try #require(try scene.agents().last?.pid)
        let third = try scene.waiting("c", on: scene.client("three"))
        kill(agent, SIGSTOP)
        try expectLeaves(holder)
        #expect(Event.happens { third.isIn }, "\(third.said) \(next.said) \((try? scene.statusText()) ?? "")")
        #expect(third.says("stands still and is passed"), "\(third.said)")
        kill(agent, SIGCONT)
        try third.leave()
        try expectLeaves(next)
        #expect(scene.complaint == nil)
        #expect(scene.becomesFree(within: 2 * Scene.lease))
    }

    @Test(arguments: Transport.allCases) func theHostIsRebooted(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, manners: "dt")
        let next = try scene.waiting("b", on: two, ["--retry-connect", "60"])
        try scene.bench.reboot(uptime: 1)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(Event.happens { next.says("queues again") }, "\(next.said)")
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(scene.becomesFree())
    }

    @Test(arguments: Transport.allCases) func sshdIsStoppedAndStarted(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, ["--lease", "60"])
        let next = try scene.waiting("b", on: two, ["--lease", "60"])
        try scene.bench.sshd(.stop)
        try scene.bench.signal(.kill)
        #expect(Event.happens { holder.says("the connection is lost") && next.says("the connection is lost") })
        try scene.bench.sshd(.start)
        for turn in [holder, next] {
            #expect(Event.happens { turn.says("connected again after") }, "\(turn.said)")
        }
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
    }

    /// Nobody can tell it, and its lease outlasts what a release waits for a holder that can be told.
    @Test(arguments: Transport.allCases) func aCutOffHoldersTurnIsEnded(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: one, ["--lease", "15"])
        try scene.bench.drop(one)
        try scene.bench.resetConnections(one)
        #expect(Scene.comesToBe { (try? scene.status().holders.first?.cut_off) == true })
        let ticket = try #require(try scene.status().holders.first?.ticket)
        let release = [
            "release", "lab@bench:board.queue", "--ticket", "\(ticket)", "--reason", "night", "--grace", "0",
        ]
        let result = try two.start(["semq"] + release).wait()
        #expect(result.status == .exited(0), "\(result.err)")
        #expect(result.err.contains("root@one is cut off; it is told when it is back, or the turn ends at "))
        #expect(result.err.hasSuffix("ended the turn of root@one: a\n"), "\(result.err)")
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(scene.becomesFree())
    }

    // MARK: by hand

    private static let acquire = "acquire path=board.queue lease=60000 description=hand pid=1 host=h user=u priority=0"

    /// Puts semq onto the queue's host.
    private func bringTheAgent() throws {
        try expectLeaves(scene.holding("a", on: one))
    }

    /// A client that has greeted its agent and asks nothing by itself.
    private func handClient(_ name: String) throws -> HandClient {
        let agent = [scene.lab.about.bin + "/ssh", "lab@bench", "exec .cache/semq/*/semq agent"]
        let client = try HandClient(scene.sandbox, agent, named: name)
        try client.greet()
        return client
    }

    // MARK: clients that are gone before they ask

    /// Their host is off, or they are cut off for good: no end of the stream tells it.
    @Test func anAgentThatIsAskedNothingLeaves() throws {
        try bringTheAgent()
        let silent = try handClient("silent")
        let done = try handClient("done")
        done.send(Self.acquire)
        #expect(done.says("granted "))
        done.send("goodbye")
        #expect(done.says("bye"), "\(done.running.out)")
        let answered = try handClient("answered")
        answered.send("status path=board.queue")
        #expect(answered.says("queue "), "\(answered.running.out)")
        try scene.bench.drop()
        for client in [silent, done] { client.running.send(SIGKILL) }
        #expect(try scene.agents().count == 3)
        #expect(Scene.comesToBe(within: 45) { (try? scene.agents().count) == 1 })
        // Somebody may have typed a password for this one, and waits for another host.
        try scene.bench.heal()
        answered.send("history path=board.queue")
        #expect(answered.says("lines "), "\(answered.running.out)")
    }

    // MARK: the same secret twice

    /// The newest connection with the secret is the client's; the one before is told.
    @Test func theNewestConnectionWins() throws {
        try bringTheAgent()
        let first = try handClient("first")
        first.send(Self.acquire)
        #expect(first.says("granted "))
        let name = try #require(first.value("agent", of: "accepted"))
        let secret = try #require(first.value("secret", of: "accepted"))

        let wrong = try handClient("wrong")
        wrong.send("resume agent=\(name) secret=\(String(secret.reversed())) number=7")
        #expect(wrong.says("error code=gone"))
        first.send("beat number=1")
        #expect(first.says("beat number=1"), "nothing has happened to the first: \(first.running.out)")

        let second = try handClient("second")
        second.send("resume agent=\(name) secret=\(secret) number=8")
        #expect(second.says("resumed number=8"), "\(second.running.out)")
        #expect(second.says("granted "))
        #expect(first.says("superseded"), "\(first.running.out)")
        second.send("beat number=9")
        #expect(second.says("beat number=9"))
        let busy = try scene.start("b", on: two, ["-n"])
        #expect(busy.running.wait().status == .exited(75))
        second.send("goodbye")
        #expect(second.says("bye"))
        #expect(scene.becomesFree(within: 20))
    }
}
