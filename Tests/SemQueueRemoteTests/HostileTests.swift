import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The other side means harm, or is out of its mind: bounded memory, and a clear end. No hosts are needed for that.
@Suite(.serialized) struct HostileTests {
    // MARK: a client and what calls itself an agent

    /// What is said instead of an agent's answers, as shell commands; `$nonce` is the client's.
    struct FakeAgent: CustomTestStringConvertible, Sendable {
        let name: String
        let script: String
        /// Part of what the client says, and its exit code.
        let says: String
        let code: Int32

        var testDescription: String { name }

        static let hello = #"printf '\nsemq-agent nonce=%s version=1\n' "$nonce""#
        static let again = "the host's semq lost this place again and again"
        static let granted = "granted ticket=1 priority=0 slot=0 token=5 queue=1"

        static let all: [FakeAgent] =
            [
                .init("random bytes", "cat /dev/urandom", "prints more than 64 KiB before semq answers", 69),
                .init("nothing", "exit 0", "ended with exit code 0", 69),
                .init("a hello that doesn't end", #"printf 'semq-agent nonce=%s ' "$nonce"; yes | tr -d '\n'"#, "", 69),
                .init("random bytes behind the hello", "\(hello); cat /dev/urandom", "is not semq's protocol", 69),
                .init("a line that doesn't end", #"\#(hello); yes | tr -d '\n'"#, "is not semq's protocol", 69),
                .init(
                    "a huge frame", "\(hello); echo 'lines size=999999999'; cat /dev/zero", "is not semq's protocol", 69
                ),
                .init(
                    "a negative frame", "\(hello); echo 'lines size=-1'; exec sleep 1000", "is not semq's protocol", 69),
                .init("a frame that isn't there", "\(hello); echo 'lines size=60000'; exec sleep 1000", again, 69),
                .init("no answer", "\(hello); exec sleep 1000", again, 69),
                .init("the end", hello, again, 69),
                .init("half a grant", "\(hello); echo 'granted ticket=1 slot=0'", "", 69),
                .init(
                    "numbers out of range", "\(hello); echo 'granted ticket=-1 priority=9999 slot=x token=y'", "", 69),
                .init(
                    "an error in colour", "\(hello); echo 'error code=unusable text=%1b[31mred%0asemq:%20ok'", "red", 65
                ),
                .init("an unknown error", "\(hello); echo 'error code=%00 errno=99999999999'", "", 74),
                .init("unknown messages", "\(hello); yes 'what is=this'", again, 69),
                .init("answers to nothing", "\(hello); yes 'beat number=123'", again, 69),
                .init(
                    "holders without end",
                    "\(hello); echo 'joined ticket=1 priority=0'; echo 'queue concurrency=1'; "
                        + "yes 'holder slot=1 token=1 since=1 ticket=1 priority=0 pid=1 host=h user=u description=d'",
                    again, 69),
                .init(
                    "places without end",
                    "\(hello); echo 'joined ticket=1 priority=0'; "
                        + "yes \"$(printf 'place ahead=1\\nplace ahead=2\\nqueue concurrency=1\\nend')\"", again, 69),
                .init("queues made without end", "\(hello); yes 'made place=x concurrency=1'", again, 69),
                .init("questions without end", "\(hello); yes 'ready number=1'", again, 69),
            ]

        /// Reckoned with, they would overflow.
        static let extremes: [FakeAgent] = ["-9223372036854775808", "9223372036854775807"].flatMap { number in
            let grant = "granted ticket=1 priority=0 slot=\(number) token=\(number) queue=1"
            let scripts: [(String, String, Int32)] = [
                ("a holder since \(number)", waiting(since: number, ahead: "1"), 69),
                ("\(number) ahead", waiting(since: "1", ahead: number), 69),
                ("a grant of \(number)", "echo '\(grant)'; echo 'removed by=a reason=b grace=\(number)'; sleep 1", 76),
            ]
            return scripts.map { FakeAgent($0.0, "\(hello); \($0.1)", $0.2 == 69 ? again : "", $0.2) }
        }

        /// What is told to one who waits.
        static func waiting(since: String, ahead: String) -> String {
            "echo 'joined ticket=2 priority=0'; echo 'queue concurrency=1 recovered=0'; "
                + "echo 'holder slot=0 token=1 since=\(since) lease-expires=\(since) ticket=1 priority=0 pid=1 host=h user=u "
                + "description=d'; echo end; echo 'place ahead=\(ahead)'; sleep 1"
        }

        private init(_ name: String, _ script: String, _ says: String, _ code: Int32) {
            (self.name, self.script, self.says, self.code) = (name, script, says, code)
        }
    }

    /// Starts `semq acquire` with a script for an agent, whatever host it asks for.
    private func start(_ sandbox: Sandbox, _ script: String, _ options: [String] = [], _ command: [String] = ["true"])
        throws -> Running
    {
        let path = try sandbox.write(
            "fake", "#!/bin/bash\nread -r _ word _\nnonce=${word#nonce=}\n\(script)\n", executable: true)
        return try sandbox.start(
            [Sandbox.binary, "acquire", "--rsh", path, "--no-bootstrap", "--lease", "5"] + options
                + ["evil:board.queue", "--"] + command)
    }

    /// The most memory that it ever had, in MiB; nil when it is gone.
    private func peak(_ pid: pid_t) -> Int? {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 / 1024 }
    }

    @Test(arguments: FakeAgent.all + FakeAgent.extremes) func aClientKeepsItsHead(_ agent: FakeAgent) throws {
        let sandbox = try Sandbox()
        // One whose turn is ended must still be in it.
        let client = try start(sandbox, agent.script, [], agent.code == 76 ? ["sleep", "60"] : ["true"])
        var most = 0
        let hasEnded = Event.happens(within: 90) {
            most = max(most, peak(client.pid) ?? 0)
            return client.hasEnded
        }
        #expect(most < 64, "\(most) MiB")
        #expect(hasEnded, "\(client.err.prefix(2000))")
        let result = client.wait()
        #expect(result.status == .exited(agent.code), "\(result.err.prefix(2000))")
        #expect(agent.says.isEmpty || result.err.contains(agent.says), "\(result.err.prefix(2000))")
        #expect(result.err.isHarmless && result.err.utf8.count < 4096, "\(result.err.prefix(2000))")
    }

    /// A host's answers to those who only ask.
    @Test(
        arguments: ["status", "doctor", "set --concurrency 1"], ["-9223372036854775808", "9223372036854775807"]
    ) func answersWithNumbersThatOverflow(_ command: String, _ number: String) throws {
        let sandbox = try Sandbox()
        let fake = try sandbox.write(
            "fake",
            """
            #!/bin/bash
            read -r _ word _
            nonce=${word#nonce=}
            \(FakeAgent.hello)
            while read -r verb _; do case $verb in
                about) echo "semq version=1 host=h user=u restricted= now=\(number) lease-from=\(number) lease-to=\(number)";;
                status) echo "queue concurrency=\(number) recovered=0 held-off=\(number) paused-by=a paused-since=\(number)"
                    echo "holder slot=\(number) token=\(number) since=\(number) lease-expires=\(number) ticket=1 priority=0 pid=1 \
            host=h user=u description=x nested=since=\(number)%20pid=1%20host=h%20user=u%20description=d"
                    echo "waiter since=\(number) stopped=0 cut-off=0 ticket=2 priority=0 pid=1 host=h user=u description=x"
                    echo end;;
                set) echo "changed concurrency=\(number) holding=\(number)";;
                doctor) echo end;;
            esac; done
            """, executable: true)
        var words = command.split(separator: " ").map(String.init)
        words.insert("evil:board.queue", at: 1)
        for options in command == "status" ? [[], ["--json"]] : [[]] {
            let result = try sandbox.start(
                [Sandbox.binary] + words + options, environment: ["SEMQ_RSH": fake]
            ).wait()
            #expect(result.status == .exited(0), "\(result)")
        }
    }

    @Test func aFloodCanBeInterrupted() throws {
        let sandbox = try Sandbox()
        let client = try start(
            sandbox, "\(FakeAgent.hello); echo 'joined ticket=1 priority=0'; yes 'made place=x concurrency=1'")
        #expect(Event.happens { client.err.contains("made the queue") }, "\(client.err.prefix(2000))")
        client.send(SIGINT)
        #expect(client.wait().status == .signaled(SIGINT))
    }

    /// A deadline holds against one that only ever drips.
    @Test func aSlowDripDoesNotOutlastTheWait() throws {
        let sandbox = try Sandbox()
        let drip =
            "text=\"semq-agent nonce=$nonce version=1\"; for i in $(seq 0 500); do printf %s \"${text:i:1}\"; sleep 0.3; done"
        let client = try start(sandbox, drip, ["-w", "2"])
        #expect(Event.happens { client.hasEnded })
        #expect(client.wait().status == .exited(75), "\(client.err)")
    }

    /// Whatever comes while the command runs, or before it does, its lease is looked after.
    @Test(
        arguments: ["yes 'what is=this'", "yes 'beat number=123'", "cat /dev/urandom", "exec sleep 1000", "exit 0"],
        [true, false])
    func aHolderKeepsItsLease(_ then: String, _ runs: Bool) throws {
        let sandbox = try Sandbox()
        let (granted, alive) = (sandbox.path("granted"), sandbox.path("alive"))
        let started = runs ? "until [ -s \(alive) ]; do sleep 0.01; done" : ":"
        let script = "\(FakeAgent.hello); date +%s.%N >>\(granted); echo '\(FakeAgent.granted)'; \(started); \(then)"
        let client = try start(
            sandbox, script, [], ["sh", "-c", "trap '' TERM; while :; do date +%s.%N >>\(alive); sleep 0.05; done"])
        #expect(Event.happens { client.hasEnded }, "\(client.err.prefix(2000))")
        // Its last sign of life comes before anybody else could be granted; one that is lost at once may give none.
        let grant = try #require(Double(sandbox.read("granted").split(separator: "\n").first ?? ""))
        let times = try sandbox.read("alive").split(separator: "\n").map { try #require(Double($0)) }
        #expect(times.allSatisfy { $0 - grant < 5 } && !(runs && times.isEmpty), "\(grant): \(times)")
        #expect(client.wait().status == .exited(76), "\(client.err.prefix(2000))")
        #expect(client.err.contains("the lock is lost") && client.err.utf8.count < 4096)
    }

    @Test(arguments: ["removed by=ann reason=lunch grace=100", "lost"]) func aHolderIsToldThatItIsOver(
        _ message: String
    )
        throws
    {
        let sandbox = try Sandbox()
        let script = "\(FakeAgent.hello); echo '\(FakeAgent.granted)'; sleep 0.3; yes '\(message)'"
        let client = try start(sandbox, script, [], ["sleep", "100"])
        #expect(Event.happens { client.hasEnded })
        #expect(client.wait().status == .exited(76), "\(client.err.prefix(2000))")
    }

    // MARK: an agent and what calls itself a client

    private func agent(_ sandbox: Sandbox) throws -> HandClient {
        try HandClient(sandbox, [Sandbox.binary, "agent"])
    }

    /// Before any hello.
    @Test(arguments: [
        "", "GET / HTTP/1.1\r\n", "semq", "semq nonce= versions=1-1", "semq nonce=%0a versions=1-1 size=99999999",
    ])
    func noHello(_ text: String) throws {
        let sandbox = try Sandbox()
        let client = try agent(sandbox)
        if !text.isEmpty { client.send(text) }
        #expect(Event.happens { client.running.hasEnded }, "\(client.running.out)")
        #expect(!client.running.out.contains("version=1") && client.running.out.utf8.count < 1024)
        #expect(client.running.err.isHarmless)
    }

    @Test(arguments: ["", "semq nonce=0123456789abcdef versions=1-1\n"]) func randomBytes(_ hello: String) throws {
        let sandbox = try Sandbox()
        let client = try agent(sandbox)
        client.send(Array(hello.utf8))
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<64 where !client.running.hasEnded {
            client.send((0..<4096).map { _ in UInt8.random(in: 0...255, using: &generator) })
        }
        #expect(Event.happens { client.running.hasEnded })
        #expect(client.running.err.isHarmless)
    }

    /// One message for all that can't be, each answered by an error; the conversation goes on.
    @Test func nonsense() throws {
        let sandbox = try Sandbox()
        let client = try agent(sandbox)
        try client.greet()
        let path = sandbox.path("board.queue")
        let acquire = "acquire description=d pid=1 host=h user=u path=\(path)"
        let nonsense = [
            "what", "acquire", "acquire path=", "acquire path=\(path)", "\(acquire) lease=4999",
            "\(acquire) lease=60001",
            "\(acquire) lease=-1", "\(acquire) lease=99999999999999999999", "\(acquire) lease=5000 priority=1001",
            "\(acquire) lease=5000 concurrency=0", "\(acquire) lease=5000 concurrency=99999999999999999999",
            "\(acquire)%00x lease=5000", "acquire path=/nowhere/at/all lease=5000",
            "acquire path=\(path)/x%0ay lease=5000", "acquire path=/\(String(repeating: "x/", count: 6000)) lease=5000",
            "status path=\(path)", "status", "resume agent=none secret=none number=1",
            "resume agent=\(String(repeating: "x", count: 300)) secret=none number=1", "remove path=\(path) ticket=x",
            "set path=\(path) concurrency=-5", "history path=/dev/zero", "identify path=/dev/tty",
        ]
        for (number, message) in nonsense.enumerated() {
            client.send(message)
            let count = { client.running.out.split(separator: "\n").count { $0.hasPrefix("error ") } }
            #expect(Event.happens { count() > number }, "\(message.prefix(100)): \(client.running.out)")
        }
        #expect(!sandbox.exists("board.queue"))
        client.send("\(acquire) lease=5000 priority=0")
        #expect(client.says("granted "), "\(client.running.out)")
        client.send("acquire path=\(path) lease=5000")
        client.send("beat number=77")
        #expect(client.says("beat number=77"))
        client.send("goodbye")
        #expect(client.says("bye"))
    }

    @Test(arguments: [
        "x", "acquire size=999999999", "acquire size=-1", "acquire size=x", "ACQUIRE", "acquire =", "acquire path",
        "\u{1b}[31m",
    ]) func noMessage(_ text: String) throws {
        let sandbox = try Sandbox()
        let client = try agent(sandbox)
        try client.greet()
        // The first is of 1 MiB; in its name it would make the tests' output hard to read.
        client.send(text == "x" ? String(repeating: text, count: 1 << 20) : text)
        #expect(Event.happens { client.running.hasEnded }, "\(client.running.out)")
        #expect(client.says("error code=usage"), "\(client.running.out)")
        #expect(client.running.out.isHarmless && client.running.out.utf8.count < 2048)
    }

    /// It asks and never listens; the agent keeps only so much for it, and it has its lease like all others.
    @Test func aClientThatDoesNotListen() throws {
        let sandbox = try Sandbox()
        // Its output is a pipe that nobody reads.
        let client = try HandClient(
            sandbox, ["/bin/bash", "-c", "exec 3< <(exec sleep 1000); exec \(Sandbox.binary) agent >/proc/self/fd/3"])
        client.send("semq nonce=\(HandClient.nonce) versions=1-1")
        client.send(
            "acquire path=\(sandbox.path("board.queue")) lease=5000 description=d pid=1 host=h user=u priority=0")
        let line = Array(
            String(repeating: "beat number=1 filler=\(String(repeating: "x", count: 200))\n", count: 100).utf8)
        let end = Date().addingTimeInterval(3)
        var most = 0
        while Date() < end, client.send(line, within: 1) { most = max(most, peak(client.running.pid) ?? 0) }
        #expect(most < 64, "\(most) MiB")
        let next = try sandbox.semq("acquire", "-q", "-w", "12", "board.queue", "--", "true")
        #expect(next.status == .exited(0), "\(next.err)")
    }

    /// Whoever floods it is heard, and nobody else waits for longer because of it.
    @Test func aFloodOfMessages() throws {
        let sandbox = try Sandbox()
        let client = try agent(sandbox)
        try client.greet()
        client.send(
            "acquire path=\(sandbox.path("board.queue")) lease=5000 description=d pid=1 host=h user=u priority=0")
        #expect(client.says("granted "))
        let line = Array(String(repeating: "what is=this\n", count: 1000).utf8)
        var most = 0
        for _ in 0..<200 {
            client.send(line)
            most = max(most, peak(client.running.pid) ?? 0)
        }
        #expect(most < 64, "\(most) MiB")
        client.send("goodbye")
        #expect(client.says("bye"))
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0))
    }

    /// It ends in the middle of a message: what it held is kept for the lease, and then free.
    @Test func theEndInTheMiddle() throws {
        let sandbox = try Sandbox()
        do {
            let client = try agent(sandbox)
            try client.greet()
            let begun = Date()
            client.send(
                "acquire path=\(sandbox.path("board.queue")) lease=5000 description=d pid=1 host=h user=u priority=0")
            #expect(client.says("granted "))
            client.send(Array("goodb".utf8))
            client.close()
            let busy = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
            #expect(busy.status == .exited(75))
            let next = try sandbox.semq("acquire", "-q", "-w", "12", "board.queue", "--", "true")
            #expect(next.status == .exited(0), "\(next.err)")
            #expect(Date().timeIntervalSince(begun) > 4.9, "not before the lease is over")
            #expect(client.running.wait().status == .exited(0))
        }
    }
}
