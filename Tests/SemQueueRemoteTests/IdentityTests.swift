import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Which of several names mean one queue, where agents are asked. The host is this machine, behind a program instead of
/// ssh that starts its agent.
@Suite struct IdentityTests {
    private let sandbox: Sandbox
    private let way: String

    init() throws {
        sandbox = try Sandbox()
        way = try sandbox.write("way", "#!/bin/sh\nexec \(Sandbox.binary) agent\n", executable: true)
        try #require(sandbox.shell("semq acquire -q a -- true && cp a b").status == .exited(0))
    }

    private func acquire(_ names: [String], by way: String? = nil) throws -> Sandbox.Result {
        let words = ["acquire", "-q", "-n", "--rsh", way ?? self.way, "--all"] + names
        return try sandbox.start([Sandbox.binary] + words + ["--", "sh", "-c", "echo $SEMQ_SEMAPHORE"]).wait()
    }

    private func holding(_ queue: String) throws -> Running {
        let holder = try sandbox.starting("acquire", "-q", queue, "--", "sh", "-c", ": > held; exec sleep 60")
        try #require(Event.happens { sandbox.exists("held") })
        return holder
    }

    @Test func oneQueueHereAndThroughItsHost() throws {
        let there = "bench:" + sandbox.path("a")
        for names in [["a", there], [there, "a"], [there, "other:" + sandbox.path("a")]] {
            let result = try acquire(names)
            #expect(result == .init(status: .exited(0), out: names[0] + "\n", err: ""))
        }
    }

    @Test func aCopyHereOrThereIsAnotherQueue() throws {
        let there = ["a", "b"].map { "bench:" + sandbox.path($0) }
        let both = try acquire([there[0], there[1]])
        #expect(both.out == there.joined(separator: " ") + "\n", "\(both)")
        let holder = try holding("b")
        for names in [
            ["a", there[1]], [there[1], "a"], [there[0], "b"], there, [there[0], "other:" + sandbox.path("b")],
        ] {
            #expect(try acquire(names).status == .exited(75), "\(names)")
        }
        holder.send(SIGTERM)
        holder.wait()
    }

    /// Whoever keeps a key that can only take turns may ask as well.
    @Test func aRestrictedAgentTells() throws {
        let restricted = try sandbox.write(
            "restricted", "#!/bin/sh\nexec \(Sandbox.binary) agent --restrict \(sandbox.folder)\n", executable: true)
        let result = try acquire(["a", "bench:a", "bench:b"], by: restricted)
        #expect(result == .init(status: .exited(0), out: "a bench:b\n", err: ""))
    }

    // MARK: permits around

    private func within(_ outer: String, _ inner: String, by innerWay: String? = nil) throws -> Sandbox.Result {
        let words = ["acquire", "-q", "--rsh", way, outer, "--", Sandbox.binary, "acquire", "-w", "30", "--rsh"]
        return try sandbox.start([Sandbox.binary] + words + [innerWay ?? way, inner, "--", "echo", "in"]).wait()
    }

    @Test func anInnerOneIsUnderTheTurnThatItsHostKeeps() throws {
        let there = "bench:" + sandbox.path("a")
        #expect(try within(there, there) == .init(status: .exited(0), out: "in\n", err: ""))
        #expect(try within(there, "ann@" + there) == .init(status: .exited(0), out: "in\n", err: ""))
        #expect(try within(there, "a") == .init(status: .exited(0), out: "in\n", err: ""), "this host is told all")
        let three = try sandbox.shell(
            "s='semq acquire -q --rsh \(way) \(there) --'; $s $s $s sh -c 'semq status --json a'")
        #expect(three.out.components(separatedBy: "\"pid\"").count == 4, "\(three)")
    }

    /// It would wait for itself.
    @Test func anInnerOneByAnotherNameIsRefused() throws {
        let there = "bench:" + sandbox.path("a")
        let other = "other.invalid:" + sandbox.path("a")
        let byHost = try within(there, other)
        #expect(byHost.status == .exited(77))
        let sentence = "is held by a command around this one, which has named it"
        #expect(
            byHost.err.hasSuffix("semq: \(other): \(sentence) on the host bench; name it as that did\n"), "\(byHost)")
        let carried = try sandbox.semq(
            "acquire", "-q", "a", "--", Sandbox.binary, "acquire", "--rsh", way, "--there", there, "--", "echo", "in")
        #expect(carried.status == .exited(77) && carried.err.contains(sentence), "\(carried)")
        let byFile = try within("a", there)
        #expect(byFile.status == .exited(77))
        #expect(
            byFile.err.hasSuffix("semq: \(there): \(sentence) as a file on this host; name it as that did\n"),
            "\(byFile)")
    }

    /// A host learns of no permit that it doesn't keep.
    @Test func aHostIsToldOfItsOwnPermitsOnly() throws {
        let curious = try sandbox.write(
            "curious",
            """
            #!/usr/bin/env python3
            import sys
            for line in sys.stdin:
                open("\(sandbox.path("heard"))", "a").write(line)
                words = dict(w.split("=", 1) for w in line.split()[1:] if "=" in w)
                print({"semq": "semq-agent nonce=%s version=1" % words.get("nonce")}.get(line.split()[0], "busy"), flush=True)

            """, executable: true)
        for outer in ["a", "bench:" + sandbox.path("a")] {
            let result = try within(outer, "curious:q", by: curious)
            #expect(result.status == .exited(75), "\(result)")
        }
        let asked = sandbox.lines("heard").filter { $0.hasPrefix("acquire ") }
        #expect(asked.count == 2 && !asked.contains { $0.contains(" held=") || $0.contains(" proof=") }, "\(asked)")
    }

    @Test func anInnerOneWithAnOlderAgentOrClient() throws {
        let older = try Sandbox.oldBinary()
        let agent = try sandbox.write("older", "#!/bin/sh\nexec \(older) agent\n", executable: true)
        let there = "bench:" + sandbox.path("a")
        for outer in [Sandbox.binary, older] {
            for inner in [Sandbox.binary, older] {
                for (outerWay, innerWay) in [(way, agent), (agent, way), (agent, agent), (way, way)] {
                    let words = [
                        "acquire", "-q", "--rsh", outerWay, there, "--", inner, "acquire", "-w", "30", "--rsh",
                    ]
                    let result = try sandbox.start([outer] + words + [innerWay, there, "--", "echo", "in"]).wait()
                    if (outer, outerWay, inner, innerWay) == (Sandbox.binary, way, older, way) {
                        #expect(result.status == .exited(77), "\(result)")
                        #expect(result.err.contains("which your semq is too old to do; update it"), "\(result)")
                        continue
                    }
                    #expect(
                        result == .init(status: .exited(0), out: "in\n", err: ""),
                        "\(outer) by \(outerWay), \(inner) by \(innerWay)")
                }
            }
        }
    }

    /// One that claims to be the queue here is not believed.
    @Test func aHostThatClaimsToSeeAProbeIsNotBelieved() throws {
        let id = try #require(sandbox.read("a").firstMatch(of: /queue=([0-9a-f]{16})/)).1
        let liar = try sandbox.write(
            "liar",
            """
            #!/usr/bin/env python3
            import sys
            for line in sys.stdin:
                words = dict(w.split("=", 1) for w in line.split()[1:] if "=" in w)
                verb = line.split()[0]
                answers = {"semq": "semq-agent nonce=%s version=1" % words.get("nonce"), "identify": "queue-id queue=\(id)",
                    "place-probe": "placed", "look-for-probe": "probe offset=0", "acquire": "busy"}
                print(answers.get(verb, "bye"), flush=True)

            """, executable: true)
        for names in [["a", "bench:a"], ["bench:a", "a"]] {
            #expect(try acquire(names, by: liar).status == .exited(75), "\(names)")
        }
    }

    @Test func anOlderAgentIsRefusedOnlyWhereItMatters() throws {
        let older = try sandbox.write(
            "older", "#!/bin/sh\nexec \(try Sandbox.oldBinary()) agent\n", executable: true)
        let there = "bench:" + sandbox.path("a")
        let result = try acquire(["a", there], by: older)
        #expect(result.status == .exited(69))
        let sentence =
            "\(there) and a: one queue by two names, or a queue and its copy; the semq on that host is too old to tell "
            + "which: update it, or name one of them only\n"
        #expect(result.err == "semq: " + sentence)
        #expect(try acquire(["c", there], by: older).status == .exited(0))
    }
}
