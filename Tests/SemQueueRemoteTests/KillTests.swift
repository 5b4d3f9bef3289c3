import Glibc
import SemQueueTestSupport
import Testing

/// Processes on the client's host that are killed or stand still, one at a time.
@Suite(.onHosts) struct KillTests {
    private let scene: Scene

    /// In seconds; for a busy machine too, and yet so short that a test can outlast it.
    private static let lease = 10.0

    init() throws { scene = try Scene() }

    /// One holds, another waits.
    private func begin(by transport: Transport) throws -> (holder: Scene.Turn, next: Scene.Turn) {
        scene.transport = transport
        let lease = ["--lease", "\(Int(Self.lease))"]
        return (
            try scene.holding("a", on: scene.client("one"), lease),
            try scene.waiting("b", on: scene.client("two"), lease)
        )
    }

    /// The holder goes on and on, and nothing has happened to anybody.
    private func expectUndisturbed(_ holder: Scene.Turn, _ next: Scene.Turn, _ seconds: Double = lease + 1) {
        let isDisturbed = Event.happens(within: seconds) { next.isIn || next.running.hasEnded }
        #expect(!isDisturbed, "\(holder.said)")
        #expect(Machine.state(of: (try? holder.command) ?? 0) != nil)
    }

    /// The holder leaves, and the next comes in.
    private func expectPassedOn(
        _ holder: Scene.Turn, to next: Scene.Turn, _ status: Sandbox.Status? = .exited(0)
    ) throws {
        try holder.leave()
        if let status { #expect(holder.running.wait().status == status, "\(holder.said)") }
        #expect(Event.happens { next.isIn }, "\(next.said)")
        try next.leave()
        #expect(next.running.wait().status == .exited(0), "\(next.said)")
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree(within: Self.lease / 2))
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true }, "an agent is left")
        #expect(Scene.comesToBe { (try? holder.links.isEmpty) == true }, "a link is left")
    }

    /// Lets a process go on, and what stands in front of semq on the client.
    private func go(_ process: pid_t, of turn: Scene.Turn) {
        kill(process, SIGCONT)
        turn.running.send(SIGCONT)
    }

    // MARK: of a holder

    @Test(arguments: Transport.allCases) func semqIsKilledAndTheGuardianGoesOn(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        kill(try holder.front, SIGKILL)
        #expect(holder.running.wait().status == .signaled(SIGKILL))
        expectUndisturbed(holder, next)
        try expectPassedOn(holder, to: next, nil)
    }

    /// Also when the guardian has kept the lease for longer than that is: semq knows since when it is sound.
    @Test(arguments: [0, lease], Transport.allCases)
    func theGuardianIsKilledAndSemqGoesOn(after seconds: Double, _ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let wasDisturbed = Event.happens(within: seconds) { holder.running.hasEnded }
        #expect(!wasDisturbed)
        kill(try holder.guardian, SIGKILL)
        expectUndisturbed(holder, next)
        try expectPassedOn(holder, to: next)
    }

    @Test(arguments: Transport.allCases) func theLinkIsKilledAndResumed(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        for link in try holder.links { kill(link, SIGKILL) }
        #expect(Event.happens { holder.says("connected again after") }, "\(holder.said)")
        expectUndisturbed(holder, next)
        try expectPassedOn(holder, to: next)
    }

    /// SIGTERM goes to the whole group when a job is ended that way: links outlive it.
    @Test(arguments: Transport.allCases) func theLinkIsNotTerminated(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let links = try holder.links
        for link in links { kill(link, SIGTERM) }
        let hasEnded = Event.happens(within: 0.5) { links.contains { [nil, "Z"].contains(Machine.state(of: $0)) } }
        #expect(!hasEnded)
        expectUndisturbed(holder, next)
        try expectPassedOn(holder, to: next)
    }

    @Test(arguments: Transport.allCases) func theCommandIsKilled(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let tree = try holder.client.processes().filter { $0.name == "worker" }.map(\.pid)
        #expect(tree.count == 2)
        for process in tree { kill(process, SIGKILL) }
        try expectPassedOn(holder, to: next, .signaled(SIGKILL))
    }

    // MARK: of a holder, standing still

    @Test(arguments: Transport.allCases) func semqStandsStill(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let front = try holder.front
        kill(front, SIGSTOP)
        expectUndisturbed(holder, next)
        go(front, of: holder)
        try expectPassedOn(holder, to: next)
    }

    @Test(arguments: Transport.allCases) func theGuardianIsNotLeftStandingStill(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        kill(try holder.guardian, SIGSTOP)
        expectUndisturbed(holder, next)
        try expectPassedOn(holder, to: next)
    }

    @Test(arguments: Transport.allCases) func theLinkStandsStillAndIsReplaced(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        for link in try holder.links { kill(link, SIGSTOP) }
        #expect(Event.happens { holder.says("connected again after") }, "\(holder.said)")
        expectUndisturbed(holder, next)
        try expectPassedOn(holder, to: next)
    }

    @Test(arguments: Transport.allCases) func theCommandStandsStill(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let command = try holder.command
        kill(command, SIGSTOP)
        expectUndisturbed(holder, next)
        go(command, of: holder)
        try expectPassedOn(holder, to: next)
    }

    // MARK: of a waiter

    /// Those behind it don't wait for its lease to end.
    @Test(arguments: Transport.allCases) func aWaiterIsKilled(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let third = try scene.waiting("c", on: scene.client("three"))
        kill(try next.front, SIGKILL)
        #expect(next.running.wait().status == .signaled(SIGKILL))
        try holder.leave()
        #expect(Event.happens(within: Self.lease / 2) { third.isIn }, "\(third.said)")
        try third.leave()
        #expect(third.running.wait().status == .exited(0), "\(third.said)")
        #expect(scene.timeline.names == ["a", "c"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree(within: 2 * Self.lease))
    }

    @Test(arguments: Transport.allCases) func aWaitersLinkIsKilledAndItsPlaceKept(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let third = try scene.waiting("c", on: scene.client("three"))
        for link in try next.links { kill(link, SIGKILL) }
        #expect(Event.happens { next.says("connected again after") }, "\(next.said)")
        try holder.leave()
        #expect(Event.happens { next.isIn }, "\(next.said)")
        try third.leave()
        try next.leave()
        for turn in [holder, next, third] { #expect(turn.running.wait().status == .exited(0), "\(turn.said)") }
        #expect(scene.timeline.names == ["a", "b", "c"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// It has lost its place by then, and queues again.
    @Test(arguments: Transport.allCases) func aWaiterStandsStillForLongerThanItsLease(_ transport: Transport) throws {
        let (holder, next) = try begin(by: transport)
        let front = try next.front
        kill(front, SIGSTOP)
        #expect(Scene.comesToBe { (try? scene.status().waits("b")) == false })
        go(front, of: next)
        #expect(Scene.comesToBe { (try? scene.status().waits("b")) == true }, "\(next.said)")
        #expect(next.says("queues again"), "\(next.said)")
        try expectPassedOn(holder, to: next)
    }
}
