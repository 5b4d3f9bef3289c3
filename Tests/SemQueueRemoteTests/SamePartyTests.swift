import SemQueueTestSupport
import Testing

/// Two clients with one pid and one host name, as two containers have them. By real agents, the clients by hand.
@Suite struct SamePartyTests {
    private let sandbox: Sandbox
    private let queue: String
    private static let party = "description=d pid=17 host=builder user=ann"

    init() throws {
        sandbox = try Sandbox()
        queue = sandbox.path("board.queue")
    }

    private func agent(_ name: String) throws -> HandClient {
        let client = try HandClient(sandbox, [Sandbox.binary, "agent"], named: name)
        try client.greet()
        return client
    }

    private func holding(_ name: String) throws -> HandClient {
        let client = try agent(name)
        client.send("acquire path=\(queue) lease=60000 priority=0 \(Self.party)")
        #expect(client.says("granted "), "\(client.running.out)")
        return client
    }

    private func there(_ name: String, _ words: [String], lease: Int = 60) throws -> HandClient {
        let client = try agent(name)
        let body = words.reduce(into: [UInt8]()) { $0 += Array($1.utf8) + [0] }
        client.send("there path=\(queue) lease=\(lease * 1000) \(Self.party) size=\(body.count)")
        client.send(body)
        return client
    }

    private func expectUndisturbed(_ stranger: HandClient) {
        stranger.send("beat number=9")
        #expect(stranger.says("beat number=9"))
        #expect(stranger.line("removed") == nil, "\(stranger.running.out)")
    }

    private static let command = ["sh", "-c", "echo ready; exec sleep 1000"]

    enum End: CaseIterable { case goodbye, lease }

    /// Its own turn ends, and nobody else's.
    @Test(arguments: End.allCases) func oneThatHolds(_ end: End) throws {
        #expect(try sandbox.semq("set", queue, "--concurrency", "2").status == .exited(0))
        let stranger = try holding("stranger")
        let client = try there("there", [queue, "--"] + Self.command, lease: end == .lease ? 5 : 60)
        #expect(Event.happens { client.running.out.contains("ready\n") }, "\(client.running.out)")
        if end == .goodbye {
            client.send("goodbye")
            #expect(client.says("bye"), "\(client.running.out)")
        } else {
            client.close()
            #expect(Event.happens { client.running.hasEnded })
        }
        expectUndisturbed(stranger)
        let events = sandbox.lines("board.queue.history").compactMap {
            $0.firstMatch(of: #/"event": "(removed|lost)", "ticket": (\d+)/#).map { "\($0.1) \($0.2)" }
        }
        #expect(events == [end == .lease ? "lost 2" : "removed 2"])
        #expect(try sandbox.semq("acquire", "-q", "-n", queue, "--", "true").status == .exited(0), "one is free")
    }

    /// It waits behind the stranger, and has nothing to give back.
    @Test func oneThatWaits() throws {
        let stranger = try holding("stranger")
        let client = try there("there", [queue, "--"] + Self.command)
        #expect(
            Event.happens {
                client.running.out.contains("next%20in%20line") || client.running.out.contains("next in line")
            })
        client.send("goodbye")
        #expect(client.says("bye"), "\(client.running.out)")
        expectUndisturbed(stranger)
        #expect(try sandbox.semq("status", queue).out.contains("held, nobody waits"))
    }

    /// What the agent is told by, and on whose behalf, is not the command's.
    @Test func theCommandInheritsNothing() throws {
        let list = "echo \"is told $(ls -l /proc/self/fd | grep -c socket) $(env | grep -c SEMQ_ON_BEHALF)\""
        let client = try there("there", [queue, "--", "sh", "-c", list])
        #expect(client.says("ended "), "\(client.running.out)")
        #expect(client.line("is told ") == "is told 0 0", "\(client.running.out)")
    }
}
