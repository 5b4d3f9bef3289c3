import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Last words that are said twice, or to nobody. By real agents; no hosts are needed for that.
@Suite struct ThereGoodbyeTests {
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

    /// The same client by a new connection.
    private func again(_ client: HandClient, _ name: String) throws -> HandClient {
        let new = try agent(name)
        let (agent, secret) = (
            try #require(client.value("agent", of: "accepted")), try #require(client.value("secret", of: "accepted"))
        )
        new.send("resume agent=\(agent) secret=\(secret) number=1 n=0")
        return new
    }

    /// Asks for a command to be run there.
    private func runs(_ client: HandClient, _ line: String, lease: Int = 20_000) {
        let words = ["-q", queue, "--", "sh", "-c", line].flatMap { (word: String) -> [UInt8] in Array(word.utf8) + [0]
        }
        let head = "there path=\(queue) lease=\(lease) at=bench name=bench:\(queue) \(Self.party) size=\(words.count)\n"
        client.send(Array(head.utf8) + words)
    }

    private func events(_ name: String) -> Int {
        sandbox.lines("board.queue.history").count { $0.contains("\"event\": \"\(name)\"") }
    }

    private func count(_ start: String, of client: HandClient) -> Int {
        client.running.out.split(separator: "\n").count { $0.hasPrefix(start) }
    }

    // MARK: agents that wait for nobody

    enum Stage: CaseIterable {
        /// Its client has not confirmed how its wait has ended.
        case busy
        /// Nor that it was bid goodbye.
        case left, leftThere
        /// Nor that it was, while it waited; its waiting ends by that.
        case leftWaiting
        /// Nor that it has heard of the command's end.
        case ended
        /// Nor of the end of one that has read nothing of its input.
        case endedUnread
    }

    /// It stays until the lease is over, and sleeps meanwhile.
    @Test(arguments: Stage.allCases) func anAgentWhoseClientIsGone(_ stage: Stage) throws {
        let client = try agent("client")
        let acquire = "acquire path=\(queue) lease=5000 priority=0 \(Self.party) confirms=1"
        switch stage {
        case .busy:
            let holder = try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--", "sleep", "1000"])
            #expect(Event.happens { (try? sandbox.semq("status", queue).out.contains("held")) == true })
            client.send("\(acquire) limit=0")
            #expect(client.says("busy"), "\(client.running.out)")
            holder.send(SIGTERM)
        case .left:
            client.send(acquire)
            #expect(client.says("granted "), "\(client.running.out)")
            client.send("goodbye confirms=1")
            #expect(client.says("bye"), "\(client.running.out)")
        case .leftWaiting:
            let holder = try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--", "sleep", "1000"])
            #expect(Event.happens { (try? sandbox.semq("status", queue).out.contains("held")) == true })
            client.send(acquire)
            #expect(client.says("joined "), "\(client.running.out)")
            client.send("goodbye confirms=1")
            #expect(client.says("bye"), "\(client.running.out)")
            holder.send(SIGTERM)
        case .leftThere:
            runs(client, "echo ready; exec sleep 1000", lease: 5000)
            #expect(client.says("ready"), "\(client.running.out) \(client.running.err)")
            client.send("goodbye confirms=1")
            #expect(client.says("bye"), "\(client.running.out)")
        case .ended:
            runs(client, "echo out; exit 3", lease: 5000)
            #expect(client.says("ended n=2 code=3"), "\(client.running.out) \(client.running.err)")
        case .endedUnread:
            runs(client, "echo ready; until [ -e go ]; do sleep 0.02; done; exit 3", lease: 5000)
            #expect(client.says("ready"), "\(client.running.out) \(client.running.err)")
            // More than a pipe holds.
            for number in 1...4 {
                client.send(Array("in n=\(number) size=32768\n".utf8) + [UInt8](repeating: 120, count: 32768))
            }
            try sandbox.write("go", "")
            #expect(client.says("ended n=2 code=3"), "\(client.running.out)")
        }
        client.close()
        let agent = client.running.pid
        let before = Processes.processorTime(of: agent)
        let hasEnded = Event.happens(within: 1) { client.running.hasEnded }
        try #require(!hasEnded, "\(client.running.err)")
        let used = Processes.processorTime(of: agent) - before
        #expect(used < 0.05, "\(used) s of a second")
        #expect(Event.happens { client.running.hasEnded })
        #expect(client.running.err == "")
        #expect(events("lost") == 0)
    }

    // MARK: said twice

    /// By the same connection and by another: the turn that is next is another's, and stays.
    @Test func aCommandIsLeftTwice() throws {
        let client = try agent("client")
        runs(client, "trap 'echo told >>told; exit 5' TERM; echo ready; while :; do sleep 0.02; done")
        #expect(client.says("ready"), "\(client.running.out) \(client.running.err)")
        let next = try sandbox.start([
            Sandbox.binary, "acquire", "-q", queue, "--", "sh", "-c",
            "echo in; until [ -e go ]; do sleep 0.02; done; exit 7",
        ])
        #expect(Event.happens { (try? sandbox.semq("status", queue).out.contains("1 waiting")) == true })
        client.send("goodbye confirms=1\ngoodbye confirms=1")
        #expect(Event.happens { count("bye", of: client) == 2 }, "\(client.running.out)")
        #expect(Event.happens { next.out == "in\n" }, "\(next.err)")
        client.close()
        let new = try again(client, "new")
        #expect(new.says("resumed number=1"), "\(new.running.out)")
        new.send("goodbye confirms=1")
        #expect(new.says("bye"), "\(new.running.out)")
        new.send("take over=1")
        #expect(Event.happens { new.running.hasEnded && client.running.hasEnded })
        #expect(!next.hasEnded && sandbox.lines("told") == ["told"])
        try sandbox.write("go", "")
        #expect(next.wait() == .init(status: .exited(7), out: "in\n", err: ""))
        #expect(events("granted") == 2 && events("lost") == 0, "\(sandbox.read("board.queue.history"))")
    }

    enum Way: String, CaseIterable {
        /// The goodbye comes twice.
        case twice = "data += data[data.rindex(b'goodbye'):]"
        /// It is heard, and its answer is lost with the connection.
        case unanswered = "os.write(there, data); os.read(back, 65536); os._exit(0)"
        /// It is lost with the connection, which ends.
        case lost = "os._exit(0)"
        /// It is lost, and nobody is told.
        case silent = "data = b''; import time; time.sleep(30)"
    }

    /// By a client that resumes when it has said goodbye: the exit code is the command's.
    @Test(arguments: Way.allCases, [false, true]) func theExitCodeStays(_ way: Way, isEarly: Bool) throws {
        // Early: what is spoilt is the receipt of the command's end, and not the goodbye behind it.
        let word = isEarly && way != .twice ? "have n=2" : "goodbye"
        let program = try sandbox.write(
            "way",
            """
            #!/usr/bin/python3
            import os, select, subprocess, sys
            spoilt = os.path.dirname(sys.argv[0]) + "/spoilt"
            agent = subprocess.Popen(["\(Sandbox.binary)", "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            there, back = agent.stdin.fileno(), agent.stdout.fileno()
            while True:
                for source in select.select([0, back], [], [])[0]:
                    data = os.read(source, 65536)
                    if not data: os._exit(0)
                    if source == 0 and b"\(word)" in data and not os.path.exists(spoilt):
                        open(spoilt, "w").close()
                        \(way.rawValue)
                    os.write(there if source == 0 else 1, data)
            """, executable: true)
        let line = "echo out; until [ -e go ]; do sleep 0.02; done; exit 3"
        let first = try sandbox.start(
            [Sandbox.binary, "acquire", "--there", "-q", "--rsh", program, "--no-bootstrap", "bench:\(queue)", "--"]
                + ["sh", "-c", line])
        #expect(Event.happens { first.out == "out\n" }, "\(first.err)")
        let next = try sandbox.start([
            Sandbox.binary, "acquire", "-q", queue, "--", "sh", "-c",
            "echo in; until [ -e leave ]; do sleep 0.02; done",
        ])
        #expect(Event.happens { (try? sandbox.semq("status", queue).out.contains("1 waiting")) == true })
        try sandbox.write("go", "")
        #expect(first.wait() == .init(status: .exited(3), out: "out\n", err: ""))
        #expect(sandbox.exists("spoilt"))
        #expect(Event.happens { next.out == "in\n" } && !next.hasEnded)
        try sandbox.write("leave", "")
        #expect(next.wait() == .init(status: .exited(0), out: "in\n", err: ""))
        #expect(events("released") == 2 && events("lost") == 0, "\(sandbox.read("board.queue.history"))")
    }
}
