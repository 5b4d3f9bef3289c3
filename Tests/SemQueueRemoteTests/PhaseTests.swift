import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Connections that break at each phase of their lives.
@Suite(.onHosts) struct PhaseTests {
    private let scene: Scene
    private let one: TestHost

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    // MARK: while it is made

    private static let actions: [String: TestProxy.Action] = [
        "reset": .reset, "close": .close, "half": .half, "drop": .drop, "silence": .silence, "drip": .drip(seconds: 1),
    ]

    /// The client gives up before long, and says with whom and why.
    @Test(arguments: ["reset", "close", "half", "drop", "silence", "drip"])
    func aConnectionThatBreaks(_ name: String) throws {
        let action = try #require(Self.actions[name])
        var points: [(phase: TestProxy.Phase, after: Int)] = TestProxy.Phase.allCases.map { ($0, 0) }
        // While somebody logs in, while the agent is started, when it has answered.
        points += [(.encrypted, 100), (.encrypted, 400), (.encrypted, 1000)]
        if name == "drip" { points = [(.banner, 0), (.kex, 0), (.encrypted, 100)] }
        let begun = Date()
        let clients = try points.enumerated().flatMap { number, point in
            let proxy = try scene.lab.proxy("way\(number)", to: scene.bench)
            try proxy.rules(.init(action, at: point.phase, after: point.after))
            return try Transport.allCases.map { transport in
                let words = ["semq", "acquire", "lab@\(proxy.name):board.queue"] + transport.options + ["--", "true"]
                return (proxy.name, "\(transport) \(point)", try one.start(words))
            }
        }
        for (host, about, running) in clients {
            // A log-in shell may take a minute, and the last looks like one.
            #expect(Event.happens(within: 90) { running.hasEnded }, "\(about) goes on: \(running.err)")
            let result = running.wait()
            #expect(result.status == .exited(69), "\(about): \(result)")
            let said = result.err.split(separator: "\n").last ?? ""
            #expect(said.hasPrefix("semq: lab@\(host): "), "\(about): \(result.err)")
        }
        print("\(name): all had given up after \(Int(Date().timeIntervalSince(begun))) s")
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true }, "an agent is left")
    }

    /// The client's name server is a host whose packets are all dropped.
    @Test(arguments: Transport.allCases) func itsNameIsLookedUpWithoutEnd(_ transport: Transport) throws {
        _ = try one.shell(
            "echo 'hosts: files dns' > /etc/nsswitch.conf; echo 'nameserver \(scene.bench.address)' > /etc/resolv.conf")
        try scene.bench.drop(one)
        func start(_ options: String...) throws -> Running {
            try one.start(
                ["semq", "acquire"] + transport.options + options + ["lab@far.example:board.queue", "--", "true"])
        }
        let interrupted = try start()
        // A socket to port 53.
        let asks = Scene.comesToBe { (try? one.shell("grep -q ':0035 ' /proc/net/udp").status) == .exited(0) }
        #expect(asks, "\(interrupted.err)")
        interrupted.send(SIGINT)
        #expect(Event.happens(within: 5) { interrupted.hasEnded } && interrupted.wait().status == .signaled(SIGINT))
        let patient = try start()
        let limited = try start("-w", "1")
        #expect(
            Event.happens(within: 10) { limited.hasEnded } && limited.wait().status == .exited(75), "\(limited.err)")
        #expect(Event.happens(within: 60) { patient.hasEnded })
        let result = patient.wait()
        #expect(result.status == .exited(69), "\(result)")
        #expect(result.err.contains(#/^semq: lab@far.example: .*(name resolution|could not be resolved)/#), "\(result)")
    }

    // MARK: later

    private func expectLeaves(_ turn: Scene.Turn) throws {
        #expect(Event.happens { turn.isIn }, "\(turn.said)")
        try turn.leave()
        #expect(turn.running.wait().status == .exited(0), "\(turn.said)")
    }

    /// One that holds and one that waits over the same way.
    @Test(arguments: ["reset", "close", "half", "drop", "silence"], Transport.allCases)
    func itBreaksWhileHoldingAndWaiting(_ name: String, _ transport: Transport) throws {
        // With a longer lease a silent connection is replaced before anybody is told.
        let options = transport.options + ["--lease", "10"]
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        let holder = try scene.holding("a", on: one, options, at: "lab@way:board.queue")
        let next = try scene.waiting("b", on: one, options, at: "lab@way:board.queue")
        try proxy.act(try #require(Self.actions[name]))
        for turn in [holder, next] {
            #expect(Event.happens { turn.says("connected again after") }, "\(turn.said)")
        }
        let isDisturbed = Event.happens(within: 1) { holder.running.hasEnded || next.isIn }
        #expect(!isDisturbed)
        try expectLeaves(holder)
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree())
    }

    /// The slot is passed on by hand at that very moment.
    @Test(arguments: Transport.allCases) func itBreaksAtTheInstantOfTheGrant(_ transport: Transport) throws {
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        let two = try scene.client("two")
        var names: [String] = []
        for number in 0..<8 {
            let holder = try scene.holding("a\(number)", on: two)
            let next = try scene.waiting(
                "b\(number)", on: one, transport.options + ["--lease", "60"], at: "lab@way:board.queue")
            try holder.leave()
            usleep(UInt32(number * 4000))
            try proxy.act(number.isMultiple(of: 2) ? .reset : .close)
            #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
            #expect(Event.happens { next.isIn }, "\(number): \(next.said)")
            try expectLeaves(next)
            names += [holder.name, next.name]
            #expect(scene.becomesFree(), "\(number)")
        }
        #expect(scene.timeline.names == names && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// The goodbye is swallowed, and said again by another connection.
    @Test(arguments: ["reset", "close", "half", "drop", "silence"], Transport.allCases)
    func itBreaksAtTheRelease(_ name: String, _ transport: Transport) throws {
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        let holder = try scene.holding(
            "a", on: one, transport.options + ["--lease", "60"], at: "lab@way:board.queue")
        let next = try scene.waiting("b", on: scene.client("two"))
        try proxy.act(try #require(Self.actions[name]))
        try holder.leave()
        #expect(Event.happens { next.isIn }, "\(next.said) \(holder.said)")
        #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree())
    }

    /// Nobody hears the goodbye: the command's exit code counts all the same, and the lease does the rest.
    @Test func theHostIsCutOffAtTheRelease() throws {
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: scene.client("two"))
        try scene.bench.drop(one)
        try holder.leave()
        #expect(Event.happens { holder.running.hasEnded }, "\(holder.said)")
        #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
        #expect(Event.happens(within: Scene.lease + 2) { next.isIn }, "\(next.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }
}
