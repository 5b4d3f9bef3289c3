import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Ctrl-C and its like: the host learns of it, and nobody waits for a lease to end.
@Suite(.onHosts) struct SignalTests {
    private let scene: Scene
    private let one: TestHost
    private let two: TestHost

    /// So long that nothing here can have been waiting for its end.
    private static let long = ["--lease", "60"]

    init() throws {
        scene = try Scene()
        (one, two) = (try scene.client("one"), try scene.client("two"))
    }

    /// Somebody is in before.
    private func begin(by transport: Transport) throws -> Scene.Turn {
        scene.transport = transport
        return try scene.holding("a", on: one, Self.long)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP], Transport.allCases)
    func aWaiterGivesUp(_ signal: Int32, _ transport: Transport) throws {
        let holder = try begin(by: transport)
        let next = try scene.waiting("b", on: two, Self.long)
        kill(try next.front, signal)
        #expect(next.running.wait().status == .signaled(signal), "\(next.said)")
        #expect(Scene.comesToBe { (try? scene.status().waits("b")) == false })
        #expect(Scene.comesToBe { (try? scene.agents().count) == 1 })
        try expectLeaves(holder)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP], Transport.allCases)
    func aHoldersCommandIsEnded(_ signal: Int32, _ transport: Transport) throws {
        let holder = try begin(by: transport)
        let next = try scene.waiting("b", on: two, Self.long)
        kill(try holder.front, signal)
        #expect(Event.happens { next.isIn }, "\(next.said)")
        #expect(holder.running.wait().status == .signaled(signal), "\(holder.said)")
        try expectLeaves(next)
        // What the command has left in another session is not its tree's end.
        #expect(scene.timeline.names == ["a", "b"])
        #expect(scene.becomesFree())
    }

    /// Held without a command: until standard input closes, or a signal comes.
    @Test(arguments: [SIGINT, SIGTERM, 0], Transport.allCases)
    func aHoldWithoutACommandEnds(_ signal: Int32, _ transport: Transport) throws {
        try expectLeaves(begin(by: transport))
        let words = (transport.options + Self.long).joined(separator: " ")
        let line = "until [ -e $0 ]; do sleep 0.05; done | semq acquire \(words) lab@bench:board.queue"
        let hold = try two.start(["/bin/sh", "-c", line, scene.sandbox.path("enough")])
        #expect(Event.happens { hold.out.contains("acquired lab@bench:board.queue ticket=2 slot=0 token=") })
        let next = try scene.waiting("b", on: scene.client("three"))
        if signal == 0 {
            try scene.sandbox.write("enough", "")
            #expect(Event.happens { hold.hasEnded })
        } else {
            let semq = try two.processes().first { $0.words.prefix(2) == ["semq", "acquire"] }
            kill(try #require(semq).pid, signal)
        }
        #expect(Event.happens { next.isIn }, "\(next.said)")
        try expectLeaves(next)
        #expect(scene.becomesFree())
    }

    /// semq release, seen from the other end.
    @Test(arguments: Transport.allCases) func aTurnIsEndedBySomebodyElse(_ transport: Transport) throws {
        let holder = try begin(by: transport)
        let next = try scene.waiting("b", on: two, Self.long)
        let third = try scene.waiting("c", on: scene.client("three"))
        let tickets = try scene.status()
        let waiting = try #require(tickets.waiting.first).ticket
        let held = try #require(tickets.holders.first).ticket
        let semq = "cd; exec .cache/semq/*/semq release board.queue --reason maintenance --ticket"
        #expect(try scene.bench.shell("\(semq) \(waiting)", user: "lab").status == .exited(0))
        #expect(next.running.wait().status == .exited(76), "\(next.said)")
        #expect(next.says("took this turn out of the queue: maintenance"), "\(next.said)")
        #expect(try scene.bench.shell("\(semq) \(held)", user: "lab").status == .exited(0))
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("has ended this turn: maintenance"), "\(holder.said)")
        try expectLeaves(third)
        #expect(scene.timeline.names == ["a", "c"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }
}
