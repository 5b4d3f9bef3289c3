import Foundation
import SemQueueTestSupport
import Testing

/// Other SSH servers than this machine's: what semq does with a host of theirs, from the first upload on.
@Suite(.onHosts) struct ServerTests {
    @Test(arguments: [HostOptions.Server.openSSH10, .dropbear], Transport.allCases)
    func turnsAreTakenAndResumed(_ server: HostOptions.Server, _ transport: Transport) throws {
        let need = server == .dropbear ? Machine.Need.program("dropbear", package: "dropbear-bin") : .openSSH10
        guard Machine.has(need) else { return }
        let scene = try Scene(HostOptions { $0.server = server })
        let (one, two) = (try scene.client("one"), try scene.client("two"))
        // The host never saw semq.
        let options = transport.options + ["--lease", "60"]
        let holder = try scene.holding("a", on: one, options)
        let next = try scene.waiting("b", on: two, options)
        let before = try scene.status()
        try #require(before.holds("a") && before.stands("b"))
        let agents = try scene.agents().count
        try scene.bench.resetConnections()
        // Each of the new connections has a relay to its agent.
        let areBack = Scene.comesToBe(within: 40) { (try? scene.agents().count) ?? 0 >= agents + 2 }
        #expect(areBack, "\(holder.said) \(next.said)")
        #expect(Scene.comesToBe { (try? scene.status().stands("b")) == true }, "\(next.said)")
        let after = try scene.status()
        #expect(after.holders.map(\.token) == before.holders.map(\.token))
        #expect(after.waiting.map(\.ticket) == before.waiting.map(\.ticket))
        for turn in [holder, next] {
            #expect(Event.happens { turn.isIn }, "\(turn.said)")
            try turn.leave()
            #expect(turn.running.wait().status == .exited(0), "\(turn.said)")
        }
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")

        let input = try scene.sandbox.write("input", "what goes in\n")
        let there = try one.start(
            ["semq", "acquire", "-q", "--there"] + options
                + ["lab@bench:board.queue", "--", "sh", "-c", "cat; hostname; echo err >&2; exit 3"], input: input
        ).wait()
        #expect(there == .init(status: .exited(3), out: "what goes in\nbench\n", err: "err\n"))
        #expect(scene.becomesFree())
    }
}
