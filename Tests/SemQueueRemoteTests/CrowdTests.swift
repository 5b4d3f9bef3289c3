import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Many clients of one host, by sshd's own limits (MaxStartups 10:30:100, MaxSessions 10).
@Suite(.onHosts) struct CrowdTests {
    /// `SEMQ_TEST_CLIENTS=200` for as many as issue 3 names.
    private static let count = ProcessInfo.processInfo.environment["SEMQ_TEST_CLIENTS"].flatMap { Int($0) } ?? 60

    /// All come at once, all get their turn. Then the host loses all connections, while nobody is let in, and has them
    /// all back.
    @Test func aCrowdAndAStorm() throws {
        let scene = try Scene()
        let clients = try ["one", "two", "three"].map { try scene.client($0) }
        let holder = try scene.holding("first", on: clients[0], ["--lease", "60"])
        let turns = try (0..<Self.count).map { number in
            try scene.sandbox.write("leave.c\(number)", "")
            return try scene.start("c\(number)", on: clients[number % 3], ["--lease", "60"], manners: "")
        }
        func waiting() -> Int { (try? scene.status().waiting.count { $0.stopped != true }) ?? 0 }
        #expect(Scene.comesToBe(within: 120) { waiting() == Self.count }, "\(waiting()) wait")
        for turn in turns where turn.running.hasEnded { Issue.record("\(turn.name): \(turn.said)") }

        try scene.bench.sshd(.stop)
        try scene.bench.signal(.kill)
        #expect(Event.happens { holder.says("the connection is lost") }, "\(holder.said)")
        try scene.bench.sshd(.start)
        #expect(Event.happens(within: 60) { holder.says("connected again after") }, "\(holder.said)")
        #expect(Scene.comesToBe(within: 60) { waiting() == Self.count }, "\(waiting()) wait")
        #expect(!holder.running.hasEnded, "\(holder.said)")

        try holder.leave()
        for turn in turns {
            #expect(Event.happens(within: 120) { turn.running.hasEnded })
            #expect(turn.running.wait().status == .exited(0), "\(turn.name): \(turn.said)")
        }
        #expect(scene.timeline.entries.count == Self.count + 1 && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree())
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true }, "an agent is left")
    }
}
