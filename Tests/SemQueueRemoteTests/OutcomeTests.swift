import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// How a wait or a turn has ended is heard by its client, also where the connection doesn't carry it just then. By real
/// agents; no hosts are needed for that.
@Suite struct OutcomeTests {
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

    /// The same client by a new connection, as after a cut.
    private func again(_ client: HandClient, _ name: String) throws -> HandClient {
        let (agent, secret) = (
            try #require(client.value("agent", of: "accepted")), try #require(client.value("secret", of: "accepted"))
        )
        let new = try self.agent(name)
        new.send("resume agent=\(agent) secret=\(secret) number=1")
        return new
    }

    private func stands(_ text: String) -> Bool {
        Event.happens { (try? sandbox.semq("status", queue).out.contains(text)) == true }
    }

    /// Who holds the queue meanwhile.
    private func holding(_ command: [String] = ["sleep", "1000"]) throws -> Running {
        let holder = try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--"] + command)
        #expect(stands("held"))
        return holder
    }

    private func release(_ ticket: Int) throws {
        let released = try sandbox.semq("release", queue, "--ticket", "\(ticket)", "--reason", "lunch")
        #expect(released.status == .exited(0), "\(released.err)")
    }

    /// Cut off, a client of this version or an older one, which doesn't confirm.
    @Test(arguments: [" confirms=1", ""], [true, false]) func aRemovalIsToldAgain(_ confirms: String, _ isCut: Bool)
        throws
    {
        let holder = try holding()
        let client = try agent("client")
        client.send("acquire path=\(queue) lease=20000 priority=0 \(Self.party)\(confirms)")
        #expect(client.says("joined ticket=2"), "\(client.running.out)")
        try release(2)
        #expect(client.says("removed "), "\(client.running.out)")
        if isCut { client.close() }
        let new = try again(client, "new")
        #expect(new.says("resumed number=1") && new.says("removed "), "\(new.running.out)")
        #expect(new.line("removed ")?.contains("reason=lunch") == true)
        // Heard, there is nothing more to be found.
        new.send("take over=1")
        #expect(Event.happens { new.running.hasEnded }, "\(new.running.out)")
        let late = try again(client, "late")
        #expect(late.says("error code=gone"), "\(late.running.out)")
        holder.send(SIGTERM)
    }

    /// Whoever has heard asks for something else by the same connection, whether it has confirmed or not.
    @Test(arguments: ["take over=1\n", "", "beat number=3\n"]) func theConversationGoesOn(_ said: String) throws {
        let holder = try holding()
        let client = try agent("client")
        client.send("acquire path=\(queue) lease=20000 priority=0 limit=0 \(Self.party)")
        #expect(client.says("busy"), "\(client.running.out)")
        client.send(Array(said.utf8))
        client.send("acquire path=\(sandbox.path("other.queue")) lease=20000 priority=0 \(Self.party)")
        #expect(client.says("granted "), "\(client.running.out)")
        client.send("goodbye confirms=1")
        #expect(client.says("bye"))
        client.send("status path=\(queue)")
        #expect(client.says("holder slot=0"), "\(client.running.out)")
        #expect(client.line("error") == nil, "\(client.running.out)")
        holder.send(SIGTERM)
    }

    /// What is worth nothing to anybody is not kept: an older client that leaves is gone.
    @Test func anOlderClientThatLeavesKeepsNoAgent() throws {
        let holder = try holding()
        let client = try agent("client")
        client.send("acquire path=\(queue) lease=60000 priority=0 limit=0 \(Self.party)")
        #expect(client.says("busy"), "\(client.running.out)")
        client.close()
        #expect(Event.happens { client.running.hasEnded })
        holder.send(SIGTERM)
    }

    /// Nobody asks for it: no longer than the lease lasts.
    @Test func anOutcomeIsKeptForTheLease() throws {
        let holder = try holding()
        let client = try agent("client")
        client.send("acquire path=\(queue) lease=5000 priority=0 limit=0 confirms=1 \(Self.party)")
        #expect(client.says("busy"), "\(client.running.out)")
        client.close()
        #expect(Event.happens { client.running.hasEnded })
        #expect(client.line("error") == nil, "\(client.running.out)")
        holder.send(SIGTERM)
    }

    /// The goodbye was heard, and the answer was lost: said again, it is answered again.
    @Test func aGoodbyeIsAnsweredAgain() throws {
        let client = try agent("client")
        client.send("acquire path=\(queue) lease=20000 priority=0 \(Self.party)")
        #expect(client.says("granted "), "\(client.running.out)")
        client.send("goodbye confirms=1")
        #expect(client.says("bye"), "\(client.running.out)")
        client.close()
        let new = try again(client, "new")
        #expect(new.says("resumed number=1"), "\(new.running.out)")
        #expect(new.line("bye") == nil)
        new.send("goodbye confirms=1")
        #expect(new.says("bye"), "\(new.running.out)")
        new.send("take over=1")
        #expect(Event.happens { new.running.hasEnded && client.running.hasEnded })
    }

    // MARK: with a whole client

    /// A way that carries nothing any more, with nobody told, once a file is there; later ones do.
    private func way() throws -> String {
        try sandbox.write(
            "way",
            """
            #!/usr/bin/python3
            import os, select, subprocess, sys
            stall = os.path.dirname(sys.argv[0]) + "/stall"
            fresh = os.path.exists(stall)
            agent = subprocess.Popen(["\(Sandbox.binary)", "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            while True:
                ready, _, _ = select.select([0, agent.stdout], [], [], 0.02)
                if not fresh and os.path.exists(stall): continue
                for source in ready:
                    data = os.read(0 if source == 0 else agent.stdout.fileno(), 65536)
                    if not data: os._exit(0)
                    os.write(agent.stdin.fileno() if source == 0 else 1, data)
            """, executable: true)
    }

    @Test func whoIsTakenOutWhileItsConnectionStallsDoesNotQueueAgain() throws {
        let holder = try holding()
        let waiter = try sandbox.start(
            [
                Sandbox.binary, "acquire", "--rsh", try way(), "--no-bootstrap", "bench:\(queue)", "--", "echo",
                "it runs",
            ])
        #expect(stands("1 waiting"), "\(waiter.err)")
        try sandbox.write("stall", "")
        try release(2)
        #expect(Event.happens(within: 40) { waiter.hasEnded }, "\(waiter.err)")
        let ended = waiter.wait()
        #expect(ended.status == .exited(76) && ended.out == "", "\(ended)")
        #expect(ended.err.contains("lunch") && !ended.err.contains("queues again"), "\(ended.err)")
        holder.send(SIGTERM)
    }

    /// Somebody runs in the turn still, from another session: it is the turn of both, as on one host.
    @Test(arguments: [false, true]) func aTurnLastsForThoseWhoRunNestedInIt(_ stalls: Bool) throws {
        let script = """
            setsid \(Sandbox.binary) acquire -q \(queue) -- sh -c 'echo in >inner; until [ -e go ]; do sleep 0.05; done' \
            </dev/null >/dev/null 2>&1 &
            until [ -s inner ]; do sleep 0.05; done
            """
        let outer = try sandbox.start(
            [
                Sandbox.binary, "acquire", "-q", "--rsh", try way(), "--no-bootstrap", "--lease", "5", "bench:\(queue)",
                "--",
            ]
                + ["sh", "-c", script])
        #expect(Event.happens { sandbox.exists("inner") }, "\(outer.err)")
        // As it is told, or a moment later: it tells its host again, by another connection.
        if stalls { try sandbox.write("stall", "") }
        // Longer than it would try to tell its host, and than the lease.
        let until = Date().addingTimeInterval(7)
        while Date() < until {
            let status = try sandbox.semq("status", queue).out
            #expect(status.contains("inside") && !status.contains("cut off"), "\(status)")
            #expect(!outer.hasEnded || stalls, "\(outer.err)")
            usleep(300_000)
        }
        try sandbox.write("go", "")
        let ended = outer.wait()
        #expect(ended.status == .exited(0) && ended.err == "", "\(ended)")
        #expect(try sandbox.semq("acquire", "-q", "-w", "10", queue, "--", "true").status == .exited(0))
    }

    /// Its client is told, and gone; what runs nested keeps the slot beyond the lease.
    @Test func aTurnLastsForThoseWhoRunNestedWithoutItsClient() throws {
        let client = try agent("client")
        client.send("acquire path=\(queue) lease=5000 priority=0 secrets=1 \(Self.party)")
        #expect(client.says("granted "), "\(client.running.out)")
        func value(_ name: String) throws -> String { try #require(client.value(name, of: "granted")) }
        let (queueName, ticket, token) = (try value("queue"), try value("ticket"), try value("token"))
        let inner = try sandbox.start(
            [
                Sandbox.binary, "acquire", "-q", queue, "--", "sh", "-c",
                "echo in; until [ -e go ]; do sleep 0.05; done",
            ],
            environment: [
                "SEMQ_HELD": "\(queueName) 0 \(ticket) \(token)",
                "SEMQ_PROOF": "\(queueName) \(token) \(try value("secret")) -",
            ])
        #expect(Event.happens { inner.out == "in\n" }, "\(inner.err)")
        client.send("goodbye")
        #expect(client.says("lasts"), "\(client.running.out)")
        client.send("beat number=5")
        #expect(client.says("beat number=5"), "\(client.running.out)")
        client.close()
        let until = Date().addingTimeInterval(7)
        while Date() < until {
            let status = try sandbox.semq("status", queue).out
            #expect(
                status.contains("inside") && !status.contains("cut off") && !status.contains("stopped"), "\(status)")
            usleep(300_000)
        }
        try sandbox.write("go", "")
        #expect(inner.wait().status == .exited(0))
        #expect(try sandbox.semq("acquire", "-q", "-w", "10", queue, "--", "true").status == .exited(0))
        #expect(Event.happens { client.running.hasEnded })
        #expect(sandbox.lines("board.queue.history").contains { $0.contains("\"released\"") && $0.contains("builder") })
        #expect(!sandbox.lines("board.queue.history").contains { $0.contains("\"lost\"") })
    }

    // MARK: slow ways

    /// A round trip that takes longer than a second: it has its turn all the same, and those behind it have theirs.
    @Test(arguments: [0.6, 1.0]) func aSlowWayIsGivenItsTurn(_ seconds: Double) throws {
        let delay = try sandbox.write(
            "delay",
            """
            #!/usr/bin/python3
            import os, select, subprocess, time
            agent = subprocess.Popen(["\(Sandbox.binary)", "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            there, back, way = agent.stdin.fileno(), agent.stdout.fileno(), []
            while True:
                rest = max(0, way[0][0] - time.monotonic()) if way else 1
                for source in select.select([0, back], [], [], rest)[0]:
                    data = os.read(source, 65536)
                    if not data: os._exit(0)
                    way.append((time.monotonic() + \(seconds), there if source == 0 else 1, data))
                while way and way[0][0] <= time.monotonic():
                    _, target, data = way.pop(0)
                    os.write(target, data)
            """, executable: true)
        let holder = try holding()
        let slow = try sandbox.start(
            [Sandbox.binary, "acquire", "-w", "60", "--rsh", delay, "--no-bootstrap", "bench:\(queue)", "--"]
                + ["echo", "in"])
        #expect(stands("1 waiting"), "\(slow.err)")
        let behind = try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--", "true"])
        #expect(stands("2 waiting"), "\(behind.err)")
        holder.send(SIGTERM)
        #expect(Event.happens(within: 60) { slow.hasEnded && behind.hasEnded }, "\(slow.err)")
        let ended = slow.wait()
        #expect(ended.status == .exited(0) && ended.out == "in\n", "\(ended)")
        #expect(behind.wait().status == .exited(0))
    }

    /// A machine that slept between its answer and the grant: the turn is lost, and nothing is begun, whatever `--on-lost`
    /// says of what runs.
    @Test(arguments: ["warn", "kill"]) func nothingIsStartedUnderALostTurn(_ what: String) throws {
        let late = try sandbox.write(
            "late",
            """
            #!/usr/bin/python3
            import os, select, signal, subprocess, time
            agent = subprocess.Popen(["\(Sandbox.binary)", "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            there, back, semq, done = agent.stdin.fileno(), agent.stdout.fileno(), os.getppid(), False
            while True:
                for source in select.select([0, back], [], [])[0]:
                    data = os.read(source, 65536)
                    if not data: os._exit(0)
                    if source == back and b"\\ngranted " in b"\\n" + data and not done:
                        done = True
                        os.kill(semq, signal.SIGSTOP)
                        time.sleep(6)
                        os.write(1, data)
                        os.kill(semq, signal.SIGCONT)
                    else:
                        os.write(there if source == 0 else 1, data)
            """, executable: true)
        let client = try sandbox.start(
            [Sandbox.binary, "acquire", "--rsh", late, "--no-bootstrap", "--lease", "5", "--on-lost", what]
                + ["bench:\(queue)", "--", "echo", "it runs"])
        let ended = client.wait()
        #expect(ended.status == .exited(76) && ended.out == "", "\(ended)")
    }
}
