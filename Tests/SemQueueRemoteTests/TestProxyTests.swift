import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The proxy of the test hosts: it breaks where it is told, and nowhere else.
@Suite struct TestProxyTests {
    @Test func whatPassesIsUnchanged() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let proxy = try lab.proxy("way", to: host)
        let copied = try client.shell(
            "head -c 5000000 /dev/urandom > file && ssh way 'cat > file' < file && ssh way 'cat file' | cmp file -")
        #expect(copied.status == .exited(0), "\(copied.err)")
        #expect(try client.run("ssh", "way", "exit 7").status == .exited(7))
        #expect(Event.happens { (try? proxy.connections().allSatisfy { $0.state == "closed" }) == true })
        let connections = try proxy.connections()
        try #require(connections.count == 3)
        #expect(connections.allSatisfy { $0.down.phases.count == 5 && $0.up.phases.count == 5 })
        #expect(connections[0].up.bytes > 5_000_000 && connections[1].down.bytes > 5_000_000)
    }

    @Test(arguments: TestProxy.Phase.allCases) func itBreaksAtAPhase(_ phase: TestProxy.Phase) throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let proxy = try lab.proxy("way", to: host)
        let ends: [(TestProxy.Action, String)] = [(.reset, "reset"), (.close, "closed")]
        for (action, state) in ends {
            try proxy.rules(.init(action, at: phase, times: 1))
            let result = try client.run("ssh", "way", "true")
            #expect(result.status == .exited(255), "\(result.err)")
            let connection = try #require(try proxy.connections().last)
            #expect(connection.state == state)
            #expect(connection.down.bytes == (connection.down.phases[phase.rawValue] ?? 0))
            #expect(try client.run("ssh", "way", "true").status == .exited(0), "the rule was for one connection")
        }
        for action in [TestProxy.Action.drop, .silence] {
            try proxy.rules(.init(action, .up, at: phase, times: 1))
            let result = try client.run("timeout", "1", "ssh", "way", "true")
            #expect(result.status == .exited(124), "\(action): \(result.err)")
        }
    }

    @Test func aByteIsAByte() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let proxy = try lab.proxy("way", to: host)
        for direction in [TestProxy.Direction.up, .down] {
            for after in [1, 100] {
                try proxy.rules(.init(.reset, direction, at: .encrypted, after: after))
                #expect(try client.run("ssh", "way", "true").status == .exited(255))
                let connection = try #require(try proxy.connections().last)
                let stream = direction == .up ? connection.up : connection.down
                #expect(stream.bytes == (stream.phases["encrypted"] ?? 0) + after)
            }
        }
        try proxy.rules(.init(.flip, at: .kex, after: 100))
        #expect(try client.run("ssh", "way", "true").status == .exited(255))
        try proxy.rules(.init(.say("SSH what\n"), at: .kexinit))
        #expect(try client.run("ssh", "way", "true").status == .exited(255))
        try proxy.rules(.init(.half, at: .kexinit))
        #expect(try client.run("ssh", "way", "true").status == .exited(255))
        try proxy.rules(.init(.drip(seconds: 0.01), at: .banner))
        let (before, begun) = (try proxy.connections().count, ContinuousClock.now)
        let dripping = try client.start(["ssh", "way", "true"])
        var bytes = 0
        #expect(
            Event.happens {
                bytes = (try? proxy.connections().dropFirst(before).last?.down.bytes) ?? 0
                return bytes >= 20
            })
        #expect(Double(bytes - 1) * 0.01 <= (ContinuousClock.now - begun) / .seconds(1))
        dripping.send(SIGKILL)
        _ = dripping.wait()
    }

    @Test func pausedAndDroppedConnectionsGoOn() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let proxy = try lab.proxy("way", to: host)
        let steps: [(TestProxy.Action, String, TestProxy.Action)] = [
            (.pause, "paused", .resume), (.drop, "dropped", .heal),
        ]
        for (action, state, remedy) in steps {
            for phase in TestProxy.Phase.allCases {
                try proxy.rules(.init(action, at: phase))
                let running = try client.start(["ssh", "way", "echo through"])
                #expect(Event.happens { (try? proxy.connections().last?.state) == state }, "\(action) at \(phase)")
                #expect(!running.hasEnded)
                try proxy.act(remedy)
                #expect(running.wait().out == "through\n", "\(action) at \(phase): \(running.err)")
            }
        }
    }

    @Test func actionsAtOnce() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let proxy = try lab.proxy("way", to: host, delay: 0.02)
        let running = try (0..<2).map { _ in try client.start(["ssh", "way", "echo in; sleep 1000"]) }
        for each in running { #expect(Event.happens { each.out == "in\n" }) }
        try proxy.act(.reset, connection: 0)
        #expect(Event.happens { running.contains { $0.hasEnded } })
        #expect(running.filter(\.hasEnded).count == 1)
        try proxy.act(.close)
        for each in running { #expect(each.wait().status == .exited(255)) }
        #expect(throws: TestLab.Refusal.self) { try lab.proxy("way", to: host) }
    }
}
