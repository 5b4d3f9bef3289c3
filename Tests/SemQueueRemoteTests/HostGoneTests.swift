import Glibc
import SemQueueTestSupport
import Testing

/// The queue's host is off, for longer than the lease or for a moment, and comes back: another one.
@Suite(.onHosts) struct HostGoneTests {
    private let scene: Scene
    private let one: TestHost
    private let two: TestHost

    init() throws {
        scene = try Scene()
        (one, two) = (try scene.client("one"), try scene.client("two"))
    }

    @Test(arguments: Transport.allCases) func forLongerThanTheLease(_ transport: Transport) throws {
        let holder = try scene.holding("a", on: one, transport.options, manners: "dt")
        let next = try scene.waiting("b", on: two, transport.options + ["--retry-connect", "60"])
        let third = try scene.waiting("c", on: scene.client("three"), transport.options)
        try scene.bench.turnOff()
        let lost = "semq: lab@bench:board.queue: no connection for 5 s, so the place is lost"
        #expect(third.running.wait().status == .exited(69), "\(third.said)")
        #expect(third.said.last == lost, "\(third.said)")
        #expect(Event.happens { next.said.contains("\(lost); queues again") }, "\(next.said)")
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        let told =
            #/semq: lab@bench:board.queue: the lock is lost: no answer from the host for [\d.]+ s; .* is told to end/#
        #expect(holder.said.last?.wholeMatch(of: told) != nil, "\(holder.said)")
        #expect(try one.processes().allSatisfy { $0.name != "worker" })

        let back = Timeline.now
        try scene.bench.turnOn()
        try expectLeaves(next, within: 40)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        // Nobody there knows when the holder was heard of last.
        #expect(next.said.last?.contains("cut off, kept until") == true, "\(next.said)")
        let entered = try #require(scene.timeline.entry("b")).start
        #expect(entered - back >= Int64(Scene.lease * 1e9), "\(entered - back) ns")
        #expect(scene.becomesFree())
    }

    /// What runs there dies with it, and isn't started again.
    @Test(arguments: Transport.allCases, [true, false])
    func underACommandThere(_ transport: Transport, forLongerThanTheLease: Bool) throws {
        let line = "echo begun >>begun; exec sleep 1000"
        let running = try one.start(
            ["semq", "acquire", "--there", "--lease", "\(forLongerThanTheLease ? 5 : 60)"] + transport.options
                + ["lab@bench:board.queue", "--", "sh", "-c", line])
        func begun() -> String { scene.bench.read("/home/lab/begun") }
        try #require(Event.happens { begun() == "begun\n" || running.hasEnded } && !running.hasEnded, "\(running.err)")
        try scene.bench.turnOff()
        if forLongerThanTheLease {
            #expect(running.wait().status == .exited(76), "\(running.err)")
            #expect(running.err.contains("the lock is lost: no connection until its lease was over"), "\(running.err)")
            try scene.bench.turnOn()
        } else {
            try scene.bench.turnOn()
            #expect(running.wait().status == .exited(76), "\(running.err)")
            #expect(running.err.contains("no way to the command there: "), "\(running.err)")
        }
        try expectLeaves(scene.start("b", on: two, transport.options), within: 40)
        #expect(begun() == "begun\n")
        #expect(try scene.bench.processes().allSatisfy { $0.words.first != "sleep" })
        #expect(scene.becomesFree())
    }
}
