import Glibc
import SemQueueTestSupport
import Testing

/// What stands still for longer than the lease: a machine that is suspended, a job with all its processes, an agent.
@Suite(.onHosts) struct StandstillTests {
    private let scene: Scene
    private let one: TestHost
    private let two: TestHost

    init() throws {
        scene = try Scene()
        (one, two) = (try scene.client("one"), try scene.client("two"))
    }

    private func workers(of host: TestHost) throws -> [TestHost.Process] {
        try host.processes().filter { $0.name == "worker" && $0.state != "Z" }
    }

    /// Stops all that runs there.
    private func suspend(_ host: TestHost) {
        let stands = Scene.comesToBe {
            // Once isn't enough: semq in front lets its guardian go on.
            _ = try? host.signal(.stop, .all)
            return (try? host.processes().allSatisfy { "TtZ".contains($0.state) }) == true
        }
        #expect(stands)
    }

    /// - Parameter turns: those of this host.
    private func wake(_ host: TestHost, _ turns: Scene.Turn...) throws {
        try host.signal(.continue, .all)
        for turn in turns { turn.running.send(SIGCONT) }
    }

    /// Longer than the lease; when it wakes up the network is still there, or isn't and its connections have ended.
    @Test(arguments: Transport.allCases, [true, false])
    func aSuspendedMachine(_ transport: Transport, hasNetwork: Bool) throws {
        let holder = try scene.holding("a", on: one, transport.options, manners: "dt")
        let next = try scene.waiting("b", on: two, transport.options)
        let retries = hasNetwork ? [] : ["--retry-connect", "60"]
        let third = try scene.waiting("c", on: one, transport.options + retries)
        #expect(!holder.says("the connection is lost"), "\(holder.said)")
        let suspended = Timeline.now
        suspend(one)
        if !hasNetwork {
            try scene.bench.resetConnections(one)
            try scene.bench.drop(one)
        }

        #expect(Event.happens { next.isIn }, "\(next.said)")
        // A third less: nobody was told of a beat that wasn't answered for so long.
        let passed = try #require(scene.timeline.entry("b")).start - suspended
        #expect(passed > Int64(0.6 * Scene.lease * 1e9), "\(passed) ns")
        #expect(try workers(of: one).count == 2)
        #expect(!holder.running.hasEnded)

        #expect(Scene.comesToBe { (try? scene.status().waits("c")) == false })
        try wake(one, holder, third)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("lab@bench:board.queue: the lock is lost: "), "\(holder.said)")
        #expect(!holder.says("the connection is lost"), "it is late for that: \(holder.said)")
        #expect(try workers(of: one).isEmpty)
        try scene.bench.heal()
        #expect(Event.happens { third.says("queues again") }, "\(third.said)")
        #expect(Scene.comesToBe { (try? scene.status().stands("c")) == true }, "\(third.said)")
        #expect(!next.running.hasEnded)
        try expectLeaves(next)
        try expectLeaves(third)
        let entries = scene.timeline.entries
        #expect(entries.map(\.name) == ["a", "b", "c"] && entries.map(\.hasLeft) == [false, true, true])
        #expect(zip(entries, entries.dropFirst()).allSatisfy { $0.token < $1.token })
        #expect(scene.becomesFree())
    }

    /// A command that is stopped, with all that it has started, holds on; it can be killed all the same.
    @Test(arguments: Transport.allCases) func aStoppedCommandIsCutOff(_ transport: Transport) throws {
        let holder = try scene.holding("a", on: one, transport.options, manners: "dt")
        let front = try holder.front
        let next = try scene.waiting("b", on: two, transport.options)
        let tree = try workers(of: one).map(\.pid)
        #expect(tree.count == 2)
        for process in tree { kill(process, SIGSTOP) }
        #expect(Event.happens { (tree + [front]).allSatisfy { Machine.state(of: $0) == "T" } })
        let wasDisturbed = Event.happens(within: Scene.lease + 1) { next.isIn || holder.running.hasEnded }
        #expect(!wasDisturbed, "\(holder.said)")

        try scene.bench.drop(one)
        #expect(Event.happens { next.isIn }, "\(next.said)")
        #expect(tree.allSatisfy { [nil, "Z"].contains(Machine.state(of: $0)) })
        // It need not be continued to say so.
        #expect(Event.happens { [nil, "Z"].contains(Machine.state(of: front)) }, "\(holder.said)")
        holder.running.send(SIGCONT)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("the lock is lost: no answer from the host for"), "\(holder.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree())
    }

    /// One that waits by it loses its place, and goes past it.
    @Test(arguments: [true, false]) func aWaitersAgent(retries: Bool) throws {
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: two, retries ? ["--retry-connect", "60"] : [])
        let agent = try #require(try scene.agents().last?.pid)
        kill(agent, SIGSTOP)
        let lost = "semq: lab@bench:board.queue: no connection for 5 s, so the place is lost"
        if retries {
            #expect(Event.happens { next.said.contains("\(lost); queues again") }, "\(next.said)")
            try expectLeaves(holder)
            try expectLeaves(next)
        } else {
            #expect(next.running.wait().status == .exited(69), "\(next.said)")
            #expect(next.said.last == lost, "\(next.said)")
            try expectLeaves(holder)
        }
        #expect(Machine.state(of: agent) == "T")
        kill(agent, SIGCONT)
        #expect(scene.timeline.names == (retries ? ["a", "b"] : ["a"]) && scene.complaint == nil)
        #expect(scene.becomesFree(within: 20))
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true }, "an agent is left")
    }
}
