import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// An acquire inside a command that holds the same queue runs under that permit.
@Suite struct NestingTests {
    @Test func aNestedAcquireRunsUnderThePermitOfTheCommandAroundIt() throws {
        let sandbox = try Sandbox()
        let inner = "semq acquire -n q -- sh -c 'echo inner $SEMQ_TICKET $SEMQ_TOKEN; exit 5'"
        let result = try sandbox.semq(
            "acquire", "-q", "q", "--", "sh", "-c", "echo outer $SEMQ_TICKET $SEMQ_TOKEN; \(inner)")
        #expect(result.status == .exited(5))
        let lines = result.out.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.dropFirst(5) == lines.last?.dropFirst(5), "it is the same permit")
        #expect(try sandbox.isFree("q"))
    }

    @Test func aNestedCommandIsToldOfThePermitsThatItAskedFor() throws {
        let sandbox = try Sandbox()
        let show = "sh -c 'echo $SEMQ_SEMAPHORE: $SEMQ_TICKET'"
        #expect(try sandbox.semq("acquire", "-q", "a", "--", "true").status == .exited(0))
        #expect(
            try sandbox.shell("semq acquire -q a -- semq acquire -q b -- semq acquire -q a -- \(show)").out == "a: 2\n",
            "not of the nearest")
        #expect(
            try sandbox.shell("semq acquire -q a -- semq acquire -q b -- semq acquire -q --any c a -- \(show)").out
                == "a: 3\n")
        #expect(
            try sandbox.shell("semq acquire -q a -- semq acquire -q --all c a ./a c -- \(show)").out == "c a: 1 4\n",
            "all, in the order of the command line, each queue once")
        let held = try sandbox.shell("semq acquire -q a -- semq acquire -q a < /dev/null").out
        #expect(held.hasPrefix("acquired a ticket=5 slot=0 token="))
    }

    @Test func aNestedAcquireMayNotContradictTheConcurrencyEither() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell("semq acquire -q q -- semq acquire --concurrency 2 q -- echo ran")
        let sentence =
            "semq: q: this queue was made with concurrency 1, not 2; leave --concurrency out, or change it for all: "
            + "semq set q --concurrency 2\n"
        #expect(result == .init(status: .exited(64), out: "", err: sentence))
        #expect(try sandbox.shell("semq acquire -q q -- semq acquire --concurrency 1 q -- echo ran").out == "ran\n")
    }

    @Test func nestingGoesAnyDepthAndByAnyNameOfTheQueue() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell(
            "semq acquire -q q -- semq acquire -n ./q -- semq acquire -n \"$PWD/q\" -- semq acquire -n q -- echo deep")
        #expect(result == .init(status: .exited(0), out: "deep\n", err: ""))
    }

    @Test func aNestedAcquireKeepsThePermitUntilItHasEnded() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let inner = "semq acquire -q q -- bash -c ': > started; read x < go' > /dev/null 2>&1 &"
        let outer = try sandbox.starting(
            "acquire", "-q", "q", "--", "bash", "-c", "\(inner) until [ -e started ]; do sleep 0.02; done; : > over")
        #expect(Event.happens { sandbox.exists("over") })
        let waiter = try sandbox.waiting("q", as: "next")
        #expect(try !sandbox.isFree("q"))
        try sandbox.open("go")
        #expect(waiter.wait().status == .exited(0))
        #expect(outer.wait().status == .exited(0))
    }

    @Test func anotherQueueInsideIsTakenForItself() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("r")
        let busy = try sandbox.semq("acquire", "-q", "q", "--", "semq", "acquire", "-n", "-q", "r", "--", "true")
        #expect(busy.status == .exited(75))
        holder.stop()
        let inner = "semq acquire -q r -- sh -c 'semq acquire -n q -- echo q; semq acquire -n r -- echo r'"
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "sh", "-c", inner).out == "q\nr\n")
    }

    @Test func aForgedOrOutdatedEnvironmentIsNotAccepted() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting(
            "acquire", "-q", "q", "--", "sh", "-c", "echo $SEMQ_HELD > held; exec sleep 60")
        #expect(Event.happens { sandbox.read("held").hasSuffix("\n") })
        let held = String(sandbox.read("held").dropLast())
        let words = held.split(separator: " ").map(String.init)
        try #require(words.count == 4)
        let (queue, priority, ticket, token) = (words[0], words[1], words[2], try #require(Int(words[3])))
        let number = try #require(Int(ticket))
        for forged in [
            "\(queue) \(priority) \(ticket) \(token + 1)", "\(queue) \(priority) \(number + 1) \(token)",
            "\(queue) 1 \(ticket) \(token)", "0 \(priority) \(ticket) \(token)", "\(queue)", "nonsense\n\n1 2 3 4",
            "\(queue) \(priority) -1 \(token)", "\(queue) \(priority) 99999999999999999999 \(token)",
        ] {
            let result = try sandbox.semq("acquire", "-n", "-q", "q", "--", "true", environment: ["SEMQ_HELD": forged])
            #expect(result.status == .exited(75), "\(forged)")
        }
        holder.stop()
        let next = try sandbox.holding("q")
        let late = try sandbox.semq("acquire", "-n", "-q", "q", "--", "true", environment: ["SEMQ_HELD": held])
        #expect(late.status == .exited(75), "the permit has ended since")
        next.stop()
        let fresh = try sandbox.semq(
            "acquire", "-n", "-q", "q", "--", "sh", "-c", "echo $SEMQ_TICKET", environment: ["SEMQ_HELD": held])
        #expect(fresh.out != "\(ticket)\n" && fresh.status == .exited(0))
    }

    // MARK: what proves it


    /// Starts a holder whose environment is in the file `environment`.
    private func holding(_ sandbox: Sandbox, _ queue: String = "q", by binary: String = Sandbox.binary) throws
        -> Running
    {
        let line = "env | grep ^SEMQ_ > .environment; mv .environment environment; exec sleep 60"
        let holder = try sandbox.start([binary, "acquire", "-q", queue, "--", "sh", "-c", line])
        try #require(Event.happens { sandbox.exists("environment") }, "\(holder.err)")
        return holder
    }

    private func value(_ name: String, _ sandbox: Sandbox) throws -> String {
        let line = sandbox.lines("environment").first { $0.hasPrefix("\(name)=") }
        return String(try #require(line).dropFirst(name.count + 1))
    }

    /// All that SEMQ_HELD says can be seen in `semq status` and in the file.
    @Test func whatEverybodySeesProvesNothing() throws {
        let sandbox = try Sandbox()
        let holder = try holding(sandbox)
        let (held, proof) = (try value("SEMQ_HELD", sandbox), try value("SEMQ_PROOF", sandbox))
        let words = proof.split(separator: " ")
        try #require(words.count == 4 && words[2].count == 32 && words[3] == "-", "\(proof)")
        #expect(!sandbox.read("q").contains(words[2]), "the queue has no secret")
        let wrong = proof.replacing(words[2], with: String(words[2].reversed()))
        for forged in ["", "nonsense", wrong, proof.replacing(words[1], with: "1")] {
            let result = try sandbox.semq(
                "acquire", "-n", "q", "--", "touch", "ran", environment: ["SEMQ_HELD": held, "SEMQ_PROOF": forged])
            #expect(result.status == .exited(77), "\(result)")
            let sentence =
                "semq: q: SEMQ_HELD names the turn of ticket 1, and SEMQ_PROOF doesn't prove that this command is under it; "
                + "hand both down (sudo --preserve-env=SEMQ_HELD,SEMQ_PROOF), or neither\n"
            #expect(result.err == sentence)
        }
        #expect(!sandbox.exists("ran"))
        let real = ["SEMQ_HELD": held, "SEMQ_PROOF": proof]
        #expect(try sandbox.semq("acquire", "-n", "q", "--", "true", environment: real).status == .exited(0))
        holder.stop()
    }

    /// Nor for a turn that no command is under.
    @Test func nobodyIsUnderATurnWithoutACommand() throws {
        let sandbox = try Sandbox()
        let coprocess = try sandbox.startingShell("sleep 60 | semq acquire -q q > acquired")
        try #require(Event.happens { sandbox.read("acquired").hasSuffix("\n") })
        let words = sandbox.read("acquired").split(whereSeparator: { " =\n".contains($0) })
        let id = try #require(sandbox.read("q").firstMatch(of: /queue=([0-9a-f]{16})/)).1
        let held = "\(id) 0 \(words[3]) \(words[7])"
        let result = try sandbox.semq("acquire", "-n", "-q", "q", "--", "true", environment: ["SEMQ_HELD": held])
        #expect(result.status == .exited(77), "\(result)")
        coprocess.send(SIGKILL)
    }

    /// The holder writes again what was damaged; until then nobody is let in who can't prove it.
    @Test(arguments: [
        "yes x | head -c 512 | dd of=q bs=512 seek=32 conv=notrunc status=none",
        "yes x | head -c 512 | dd of=q bs=512 seek=18 conv=notrunc status=none", ": > q",
    ])
    func aDamagedRecordLetsNobodyInWhoIsNotUnderIt(_ damage: String) throws {
        let sandbox = try Sandbox()
        let holder = try holding(sandbox)
        let (held, proof) = (try value("SEMQ_HELD", sandbox), try value("SEMQ_PROOF", sandbox))
        #expect(try sandbox.shell(damage).status == .exited(0))
        let forged = try sandbox.semq(
            "acquire", "-n", "q", "--", "touch", "ran", environment: ["SEMQ_HELD": held, "SEMQ_PROOF": ""])
        #expect([.exited(75), .exited(77)].contains(forged.status), "\(forged)")
        #expect(!sandbox.exists("ran"))
        #expect(try sandbox.shell(damage).status == .exited(0))
        let real = ["SEMQ_HELD": held, "SEMQ_PROOF": proof]
        for attempt in ["at once", "where somebody has made the header anew", "where it was set, too"] {
            let nested = try sandbox.semq("acquire", "-n", "q", "--", "true", environment: real)
            #expect(nested.status == .exited(0), "\(attempt): \(nested)")
            if attempt == "at once" {
                #expect(try sandbox.semq("acquire", "-n", "-q", "q", "--", "true").status == .exited(75))
            } else {
                #expect(try sandbox.semq("set", "q", "--concurrency", "1").status == .exited(0))
            }
        }
        holder.stop()
    }

    /// The file of another queue may say all that the one around says.
    @Test func aCopyOverAnotherQueueIsNotTheOneAround() throws {
        let sandbox = try Sandbox()
        for queue in ["q", "r"] { #expect(try sandbox.isFree(queue)) }
        let other = try sandbox.holding("r")
        let holder = try holding(sandbox)
        #expect(try sandbox.shell("dd if=q of=r conv=notrunc status=none").status == .exited(0))
        let environment = [
            "SEMQ_HELD": try value("SEMQ_HELD", sandbox), "SEMQ_PROOF": try value("SEMQ_PROOF", sandbox),
        ]
        let nested = try sandbox.semq("acquire", "-n", "-q", "r", "--", "true", environment: environment)
        #expect(nested.status == .exited(75), "\(nested)")
        #expect(try sandbox.semq("acquire", "-n", "q", "--", "true", environment: environment).status == .exited(0))
        for running in [holder, other] { running.stop() }
    }

    /// Turns of a `semq` that has made no secret count as they did, and inner ones of it are let in as before.
    @Test func withAnOlderOneOnTheSameQueue() throws {
        let sandbox = try Sandbox()
        let older = try Sandbox.oldBinary()
        for (outer, inner) in [(older, Sandbox.binary), (Sandbox.binary, older)] {
            let result = try sandbox.start([
                outer, "acquire", "-q", "q", "--", inner, "acquire", "-n", "q", "--", "echo", "in",
            ])
            .wait()
            #expect(result == .init(status: .exited(0), out: "in\n", err: ""))
            let deep = try sandbox.start(
                [
                    outer, "acquire", "-q", "q", "--", inner, "acquire", "-q", "r", "--", outer, "acquire", "-n", "q",
                    "--",
                ]
                    + [Sandbox.binary, "acquire", "-n", "r", "--", "echo", "in"]
            ).wait()
            #expect(deep == .init(status: .exited(0), out: "in\n", err: ""))
            let status = try sandbox.start([outer, "acquire", "-q", "q", "--", inner, "status", "q"]).wait()
            #expect(status.out.hasPrefix("q: held, nobody waits\n"), "\(status)")
        }
    }

    /// sudo drops the variables. Root may read them of the processes that it descends from.
    @Test(.enabled(if: geteuid() == 0)) func rootFindsWhatSudoHasDropped() throws {
        let sandbox = try Sandbox()
        let inner = "semq acquire -n q -- echo in"
        let without = "env -u SEMQ_HELD -u SEMQ_PROOF"
        // As sudo, which waits for what it has started with another environment.
        try sandbox.write("sudo", "\(without) SUDO_UID=1000 sh -c '\(inner); exit $?'; exit $?\n")
        try sandbox.write("user", "\(without) sh -c '\(inner); exit $?'; exit $?\n")
        let found = try sandbox.shell("semq acquire -q q -- sh sudo")
        #expect(found == .init(status: .exited(0), out: "in\n", err: ""))
        let user = try sandbox.shell("semq acquire -q q -- sh user")
        #expect(user.status == .exited(75), "nobody has asked for root: \(user)")
        let holder = try holding(sandbox)
        let stranger = try sandbox.semq(
            "acquire", "-n", "-q", "q", "--", "true", environment: ["SUDO_UID": "1000"])
        #expect(stranger.status == .exited(75))
        holder.stop()
    }

    @Test func statusTellsWhoRunsInside() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let inner = "semq acquire -m 'inner one' q -- sh -c ': > started; read x < go'"
        let holder = try sandbox.starting("acquire", "-q", "-m", "outer", "q", "--", "sh", "-c", inner)
        try #require(Event.happens { sandbox.exists("started") })
        let status = try sandbox.semq("status", "q").out
        let lines = status.split(separator: "\n")
        try #require(lines.count == 4, "\(status)")
        #expect(lines[2].contains("slot 0") && lines[2].hasSuffix("outer"))
        #expect(lines[3].wholeMatch(of: #/ +inside +1 +\S+@\S+ +\d+ .* inner one/#) != nil, "\(status)")
        let json = try sandbox.semq("status", "--json", "q").out
        #expect(json.contains(#""nested": [{"pid": "#), "\(json)")
        try sandbox.open("go")
        #expect(holder.wait().status == .exited(0))
        #expect(try !sandbox.semq("status", "--json", "q").out.contains("nested"))
    }

    @Test func aNestedAcquireOfSeveralTakesOnlyWhatIsMissing() throws {
        let sandbox = try Sandbox()
        let inner =
            "semq acquire -q --all q r -- sh -c 'semq acquire -n -q q -- true && semq acquire -n -q r -- echo both'"
        let result = try sandbox.semq("acquire", "-q", "q", "--", "sh", "-c", inner)
        #expect(result == .init(status: .exited(0), out: "both\n", err: ""))
        let any = "semq acquire -n -q --any r q -- true"
        let holder = try sandbox.holding("r")
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "sh", "-c", any).status == .exited(0))
        holder.stop()
    }
}
