import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Many clients of one host, by sshd's own limits (MaxStartups 10:30:100, MaxSessions 10).
@Suite(.aloneOnHosts) struct CrowdTests {
    /// Those who come one after the other, before all others come at once.
    private static let orderly = 10

    private struct Crowd {
        let scene: Scene
        let holder: Scene.Turn
        /// In the order in which they were started.
        let turns: [Scene.Turn]
        let clients: [TestHost]

        /// Who waits and is heard of.
        var waiting: [Scene.Status.Member] {
            (try? scene.status().waiting.filter { $0.stopped != true }) ?? []
        }

        /// Whether all wait that are left, before long.
        func waits(but served: Int = 0) -> Bool {
            Scene.comesToBe(within: 120) {
                waiting.count == turns.count - served || turns[served...].contains { $0.running.hasEnded }
            }
        }
    }

    /// - Parameter transport: how they reach the host; a process of `ssh` for each takes more of the machine.
    private func crowd(of count: Int, _ transport: Transport) throws -> Crowd {
        let scene = try Scene()
        let clients = try ["one", "two", "three"].map { try scene.client($0) }
        let patient = ["--lease", "60"] + transport.options
        let holder = try scene.holding("first", on: clients[0], patient)
        let turns = try (0..<count).map { number in
            let come = number < Self.orderly ? scene.waiting : scene.start
            return try come(
                "c\(number)", clients[number % 3], patient + ["--retry-connect", "120"], "lab@bench:board.queue", "")
        }
        return Crowd(scene: scene, holder: holder, turns: turns, clients: clients)
    }

    /// All come at once, and all wait. The host loses all connections, while nobody is let in, and has them all back:
    /// nobody has lost the place. Then it is off for longer than a lease, with whoever holds: all queue again. All get
    /// their turn once, in the order of their tickets.
    @Test(arguments: [(Transport.own, 200), (.ssh, 40)])
    func aCrowdAndTwoStorms(_ transport: Transport, _ count: Int) throws {
        let crowd = try crowd(of: count, transport)
        let (scene, turns) = (crowd.scene, crowd.turns)
        #expect(crowd.waits(), "\(crowd.waiting.count) wait")
        let tickets = crowd.waiting.map(\.ticket)
        let names = crowd.waiting.map(\.description)
        #expect(Array(names.prefix(Self.orderly)) == turns.prefix(Self.orderly).map(\.name))

        try scene.bench.sshd(.stop)
        try scene.bench.signal(.kill)
        #expect(Event.happens { crowd.holder.says("the connection is lost") }, "\(crowd.holder.said)")
        try scene.bench.sshd(.start)
        #expect(Event.happens(within: 60) { crowd.holder.says("connected again after") }, "\(crowd.holder.said)")
        #expect(crowd.waits(), "\(crowd.waiting.count) wait")
        #expect(crowd.waiting.map(\.ticket) == tickets && crowd.waiting.map(\.description) == names)

        // The orderly ones, but for the last, have their turns; then somebody holds who goes down with the host.
        for turn in turns.prefix(Self.orderly - 1) { try turn.leave() }
        try crowd.holder.leave()
        let last = turns[Self.orderly - 1]
        #expect(Event.happens(within: 60) { last.isIn }, "\(last.said)")
        let unlucky = try scene.waiting("unlucky", on: crowd.clients[1], ["--priority", "1"] + transport.options)
        try last.leave()
        #expect(Event.happens { unlucky.isIn }, "\(unlucky.said)")
        #expect(scene.timeline.names == ["first"] + turns.prefix(Self.orderly).map(\.name) + ["unlucky"])

        for turn in turns[Self.orderly...] { try turn.leave() }
        try scene.bench.turnOff()
        #expect(Event.happens { unlucky.running.hasEnded })
        #expect(unlucky.running.wait().status == .exited(76), "\(unlucky.said)")
        try scene.bench.turnOn()
        for turn in [crowd.holder] + turns {
            #expect(Event.happens(within: 120) { turn.running.hasEnded }, "\(turn.name): \(turn.said)")
            #expect(turn.running.wait().status == .exited(0), "\(turn.name): \(turn.said)")
        }

        let entries = scene.timeline.names
        #expect(entries.count == count + 2 && Set(entries).count == count + 2)
        #expect(scene.complaint == nil)
        let granted = try scene.grants().suffix(count - Self.orderly)
        #expect(granted.map(\.description) == Array(entries.suffix(count - Self.orderly)))
        #expect(granted.map(\.ticket) == granted.map(\.ticket).sorted())
        #expect(scene.becomesFree())
        // One whose client has left before it could say that it knows of its end keeps the last word for the lease.
        #expect(Scene.comesToBe(within: 70) { (try? scene.agents().isEmpty) == true }, "an agent is left")
    }
}
