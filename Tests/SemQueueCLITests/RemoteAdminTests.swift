import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq set` and `semq release` of queues on other hosts, and what is said where that fails.
@Suite struct RemoteAdminTests {
    @Test func setMakesAQueueThereAndSaysWhatItDid() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let made = try bench.semq("set", "bench:lab/../q", "--concurrency", "2")
        #expect(made.status == .exited(73), "as here, folders aren't made")
        mkdir(sandbox.path("bench/lab"), 0o755)
        #expect(
            try bench.semq("set", "bench:lab/q", "--concurrency", "2")
                == .init(
                    status: .exited(0), out: "",
                    err: "semq: made the queue bench:\(bench.home)/lab/q, concurrency 2\n"))
        let changed = try bench.semq("set", "bench:lab/q", "--concurrency", "3", "--pause", "a\nreason  ")
        #expect(changed.err == "semq: bench:lab/q: concurrency 3\nsemq: bench:lab/q: paused: a\\nreason  \n")
        let view = try #require(sandbox.view("bench/lab/q"))
        #expect(view.concurrency == 3 && view.paused?.reason.hasPrefix("a\nreason") == true)
        #expect(view.paused?.by == "\(try user())@\(try host())", "who did it, and on which host")
        #expect(try bench.semq("set", "bench:lab/q", "--resume").err == "semq: bench:lab/q: resumed\n")
        #expect(sandbox.view("bench/lab/q")?.paused == nil)
        #expect(bench.connections.count == 4, "one for each command")
    }

    private func user() throws -> String { try Sandbox().shell("id -un").out.filter { $0 != "\n" } }
    private func host() throws -> String { try Sandbox().shell("uname -n").out.filter { $0 != "\n" } }

    @Test func acquireSaysWhereItMadeAQueue() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let made = try bench.semq("acquire", "bench:q", "--", "true")
        #expect(made.err == "semq: made the queue bench:\(bench.home)/q, concurrency 1\n")
    }

    @Test func raisingLetsWaitersInAndLoweringDrains() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let holder = try sandbox.holding("bench/q")
        let waiter = try sandbox.waiting("bench/q", as: "waiter")
        #expect(try bench.semq("set", "bench:q", "--concurrency", "2").err == "semq: bench:q: concurrency 2\n")
        #expect(waiter.wait().status == .exited(0))
        let second = try sandbox.holding("bench/q", as: "second")
        let lowered = try bench.semq("set", "bench:q", "--concurrency", "1")
        #expect(lowered.err == "semq: bench:q: concurrency 1; 2 hold it until they have ended\n")
        let paused = try bench.semq("set", "bench:q", "--pause", "lunch")
        #expect(paused.err == "semq: bench:q: paused: lunch; 2 hold on until done\n")
        holder.stop()
        second.stop()
    }

    @Test func aLongReasonIsCutToWhatCanBeCarried() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        _ = try sandbox.semq("set", "bench/q", "--concurrency", "1")
        for text in [String(repeating: "é", count: 50_000), String(repeating: "\u{1}", count: 50_000)] {
            #expect(try bench.semq("set", "bench:q", "--pause", text).status == .exited(0))
            let reason = try #require(sandbox.view("bench/q")?.paused?.reason)
            #expect(reason.count > 30 && text.hasPrefix(reason.dropLast()))
            let holder = try bench.semq("acquire", "-n", "-m", text, "bench:q", "--", "true")
            #expect(holder.status == .exited(75))
        }
        let name = "bench:" + String(repeating: "%", count: 20_000)
        let long = try bench.semq("status", name)
        #expect(long.status == .exited(64))
        #expect(long.err.hasSuffix("…: such a long name is no file's\n"))
    }

    // MARK: release

    @Test func aHolderThereIsReleased() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let holder = try sandbox.holding("bench/q", as: "flashing")
        let released = try bench.semq("release", "bench:q", "--ticket", "1", "--reason", "fire drill")
        #expect(released.status == .exited(0))
        #expect(released.err.wholeMatch(of: /semq: bench:q: ended the turn of \S+@\S+: flashing\n/) != nil)
        let ended = holder.wait()
        #expect(ended.status == .exited(76))
        let again = try bench.semq("release", "bench:q", "--ticket", "1", "--reason", "fire drill")
        let sentence = "semq: bench:q: no ticket 1 waits or holds here (any more); see: semq status bench:q\n"
        #expect(again == .init(status: .exited(1), out: "", err: sentence))
        #expect(bench.connections.count == 2)
    }

    @Test func aHolderAndAWaiterOfThisSideAreReleased() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let holder = try bench.starting("acquire", "-m", "flashing", "bench:q", "--", "sleep", "60")
        #expect(sandbox.queue("bench/q") { $0.holders.count == 1 })
        let waiter = try bench.starting("acquire", "-m", "measuring", "bench:q", "--", "touch", "ran")
        #expect(sandbox.queue("bench/q") { $0.waiting.count == 1 })
        for (running, ticket, told) in [(waiter, "2", "took"), (holder, "1", "ended the turn of")] {
            let released = try bench.semq("release", "bench:q", "--ticket", ticket, "--reason", "fire drill")
            #expect(released.status == .exited(0))
            #expect(released.err.hasPrefix("semq: bench:q: \(told) "))
            let ended = running.wait()
            #expect(ended.status == .exited(76))
            #expect(ended.err.contains("fire drill"))
        }
        #expect(!sandbox.exists("ran"))
        #expect(try sandbox.isFree("bench/q"), "at once: nobody waits for a lease")
    }

    @Test func aCutWhileATurnEndsSaysThatItHasBeenToldToEnd() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let holder = try sandbox.starting(
            "acquire", "-q", "bench/q", "--", "bash", "-c", "trap 'echo told > told' TERM; while :; do sleep 0.02; done"
        )
        #expect(sandbox.queue("bench/q") { $0.holders.count == 1 })
        let release = try bench.starting("release", "bench:q", "--ticket", "1", "--reason", "x", "--grace", "60")
        #expect(Event.happens { sandbox.exists("told") })
        try bench.fails("ssh: connect to host bench port 22: No route to host")
        bench.cut()
        let result = release.wait()
        #expect(result.status == .exited(69))
        #expect(
            result.err.hasSuffix(
                "; ticket 1 has been told to go, and may have gone: see: semq status bench:q\n"), "\(result.err)")
        holder.send(SIGKILL)
    }

    // MARK: failures

    static let commands: [[String]] = [
        ["status"], ["set", "--resume"], ["set", "--concurrency", "2"], ["history"],
        ["release", "--ticket", "1", "--reason", "x"],
    ]

    @Test(arguments: commands)
    func aHostThatCannotBeReachedIs69AndOneThatRefusesIs77(_ words: [String]) throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        func run() throws -> Sandbox.Result {
            try sandbox.start([Sandbox.binary] + words + ["ann@bench:q"] + bench.options).wait()
        }
        // With what to do, where ssh doesn't say that.
        for (sentence, code, before, behind): (String, Int32, String, String) in [
            (
                "ssh: Could not resolve hostname bench: Name or service not known", 69, "",
                ": check the name, and the name server"
            ),
            ("ssh: connect to host bench port 22: Connection refused", 69, "", ""),
            ("ann@bench: Permission denied (publickey).", 77, "", ""),
            (
                "Host key verification failed.", 77,
                "the host's key is not known: log in once by ssh, and say yes if it is the key that the host's admin "
                    + "tells; ", ""
            ),
        ] {
            try bench.fails(sentence)
            let prefix = "semq: ann@bench: \(code == 69 ? "can't be reached" : "refused"): "
            #expect(
                try run() == .init(status: .exited(code), out: "", err: "\(prefix)\(before)\(sentence)\(behind)\n"))
        }
        let missing = try sandbox.start([Sandbox.binary] + words + ["bench:q", "--rsh", "no-such-program"]).wait()
        #expect(missing.status == .exited(69))
        #expect(missing.err.contains("can't start no-such-program: No such file or directory"))
        let nothing = try sandbox.start([Sandbox.binary] + words + ["bench:q", "--rsh", " "]).wait()
        #expect(nothing.status == .exited(64))
    }

    @Test(arguments: commands)
    func failuresThereAreToldWithTheNameThatWasTyped(_ words: [String]) throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        try sandbox.write("bench/file", "no queue\n")
        mkdir(sandbox.path("bench/folder"), 0o755)
        for name in ["nosuch/q", "file", "folder", "\(bench.home)/nosuch/q"] {
            let here = try sandbox.start(["env", "-C", bench.home, Sandbox.binary] + words + [name]).wait()
            let there = try sandbox.start([Sandbox.binary] + words + ["bench:\(name)"] + bench.options).wait()
            #expect(here.err.hasPrefix("semq: \(name): "))
            let named = here.err.replacing("semq: ", with: "semq: bench:", maxReplacements: 1)
                .replacing("semq status \(name)", with: "semq status bench:\(name)")
            #expect(there.err == named)
            #expect(there.status == here.status)
        }
    }

    /// An agent that has answered the greeting doesn't wait for ever; semq, stopped meanwhile, starts another.
    @Test(arguments: [["status", "bench:q"], ["acquire", "bench:q"], ["acquire", "--there", "bench:q"]])
    func stoppedInTheMiddleOfTheGreeting(_ words: [String]) throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        #expect(try bench.semq("set", "bench:q", "--concurrency", "1").status == .exited(0))
        try sandbox.write(
            "slow",
            """
            #!/bin/bash
            if [ -e met ]; then exec ./rsh "$@"; fi
            read -r greeting
            nonce=${greeting#*nonce=}
            : >met
            until [ -e go ]; do sleep 0.02; done
            echo "semq-agent nonce=${nonce%% *} version=1"
            echo $$ >left

            """, executable: true)
        let command = words[0] == "acquire" ? ["--", "echo", "granted"] : []
        let running = try sandbox.start(
            [Sandbox.binary] + words + ["--rsh", "./slow", "--no-bootstrap"] + command)
        #expect(Event.happens { sandbox.exists("met") }, "\(running.err)")
        running.send(SIGSTOP)
        #expect(Event.happens { isIn("T", running.pid) })
        try sandbox.write("go", "")
        #expect(Event.happens { sandbox.lines("left").first.flatMap { pid_t($0) }.map { isIn("Z", $0) } == true })
        running.send(SIGCONT)
        let result = running.wait()
        #expect(result.status == .exited(0) && result.err == "", "\(result)")
        #expect(words[0] == "status" || result.out == "granted\n", "\(result)")
    }

    private func isIn(_ state: String, _ pid: pid_t) -> Bool {
        let stat = FileManager.default.contents(atPath: "/proc/\(pid)/stat") ?? Data()
        return String(decoding: stat, as: UTF8.self).contains(") \(state) ")
    }

    /// What an agent may answer that is none.
    @Test(arguments: [
        ("yes 'holder slot=0'", "bench:q: the host's semq answers without end"),
        ("yes lines", "bench:q: the host's semq answers without end"),
        ("head -c 100000 /dev/zero", "bench: what comes is not semq's protocol: "),
        ("echo 'lines size=99999999'", "bench: what comes is not semq's protocol: lines size=99999999"),
        ("echo something-else", "bench:q: the host's semq answers what this one doesn't understand"),
        ("echo 'error code=io'", "bench:q: the host's semq says no more"), ("exit", "bench: the connection was lost"),
        ("echo 'told-holder pid=x'", "bench:q: the host's semq answers what this one doesn't understand"),
    ])
    func whatIsNoAnswerEndsIt(_ answer: String, _ sentence: String) throws {
        let sandbox = try Sandbox()
        try sandbox.write(
            "hostile",
            """
            #!/bin/bash
            read -r greeting
            nonce=${greeting#*nonce=}
            echo "semq-agent nonce=${nonce%% *} version=1"
            read -r request
            \(answer)

            """, executable: true)
        let result = try sandbox.shell(
            "ulimit -v 4000000; exec semq release bench:q --ticket 1 --reason x --rsh ./hostile --no-bootstrap")
        #expect(result.err.hasPrefix("semq: \(sentence)"))
        #expect(result.status == .exited(answer.contains("code=io") ? 74 : 69))
    }

    /// A refusal tells who holds, over the connection that there is.
    @Test func whoIsNotGrantedIsToldWhoHolds() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let holder = try sandbox.holding("bench/q", as: "flashing")
        for (options, said) in [(["-n"], "busy"), (["-w", "0.3", "-q"], ""), (["-w", "3"], "not granted in time")] {
            let count = bench.connections.count
            let result = try sandbox.start(
                [Sandbox.binary, "acquire"] + options + ["bench:q"] + bench.options + ["--", "true"]
            ).wait()
            #expect(result.status == .exited(75))
            if said.isEmpty {
                #expect(result.err == "")
            } else {
                #expect(result.err.contains(/semq: bench:q: \D+: held by \S+@\S+ \(pid \d+\) for \d+s: flashing\n/))
                #expect(result.err.contains("semq: bench:q: \(said): held by "))
            }
            #expect(bench.connections.count == count + 1)
        }
        holder.stop()
    }
}
