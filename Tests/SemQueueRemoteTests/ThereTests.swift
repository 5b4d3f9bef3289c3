import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq acquire --there`: the command runs on the semaphore's host; all that goes in and comes out is carried.
@Suite(.onHosts) struct ThereTests {
    private let scene: Scene
    private let one: TestHost

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    private static let queue = "lab@bench:board.queue"

    private func start(_ options: [String], at queue: String = Self.queue, _ line: String, input: String? = nil) throws
        -> Running
    {
        try one.start(acquire + ["-m", "there"] + options + [queue, "--", "sh", "-c", line], input: input)
    }

    /// By the way that the scene's clients go.
    private var acquire: [String] { ["semq", "acquire", "--there"] + scene.transport.options }

    /// A file in the home there, once its line is whole.
    private func file(_ name: String) -> String { scene.bench.read("/home/lab/\(name)") }

    /// Ends what runs until it is there.
    private func open(_ name: String) throws { _ = try scene.bench.shell(": >/home/lab/\(name)", user: "lab") }

    private static let untilGo = "until [ -e go ]; do sleep 0.02; done"

    // MARK: what is carried

    @Test(arguments: Transport.allCases) func outputAndExitCode(_ transport: Transport) throws {
        scene.transport = transport
        let line = #"printf 'a\0b\n'; echo err >&2; pwd; umask; echo $SEMQ_SEMAPHORE; exit 3"#
        let umask = try scene.bench.shell("umask", user: "lab").out
        // The first brings semq there.
        for _ in 0..<2 {
            let result = try start(["-q"], line).wait()
            #expect(
                result
                    == .init(status: .exited(3), out: "a\0b\n/home/lab\n\(umask)board.queue\n", err: "err\n"))
        }
        #expect(scene.becomesFree())
    }

    /// That would be another host's there, or an option: the agent's affair, however it is reached.
    @Test(arguments: ["a:b", "-n"]) func namesThatMeanSomethingElseThere(_ name: String) throws {
        let result = try start(["-q"], at: "lab@bench:\(name)", "echo $SEMQ_SEMAPHORE").wait()
        #expect(result == .init(status: .exited(0), out: "./\(name)\n", err: ""))
        #expect(scene.bench.exists("/home/lab/\(name)"))
    }

    /// Those too by which `ssh`, or semq itself, would tell something else.
    @Test(arguments: Transport.allCases) func theEndOfACommand(_ transport: Transport) throws {
        scene.transport = transport
        for code: Int32 in [0, 1, 64, 69, 75, 127, 137, 254, 255] {
            #expect(try start(["-q"], "exit \(code)").wait().status == .exited(code))
        }
        for signal in [SIGTERM, SIGKILL] {
            #expect(try start(["-q"], "kill -\(signal) $$").wait().status == .signaled(signal))
        }
        let result = try one.start(acquire + ["-q", Self.queue, "--", "nosuch"]).wait()
        #expect(result.status == .exited(127), "\(result)")
        #expect(result.err == "semq: lab@bench: nosuch: No such file or directory; is it in PATH there?\n")
    }

    /// What is said there is read here, where its names mean something else.
    @Test func theHostIsNamed() throws {
        let first = try start([], "echo ready; \(Self.untilGo)")
        #expect(Event.happens { first.out == "ready\n" }, "\(first.err)")
        let made = "semq: made the queue lab@bench:/home/lab/board.queue, concurrency 1\n"
        #expect(first.err.hasSuffix(made), "\(first.err)")
        let second = try start([], "echo in")
        let place = "semq: lab@bench:board.queue: next in line; held by root@one "
        #expect(Event.happens { second.err.hasPrefix(place) }, "\(second.err)")
        let words = ["--ticket", "1", "--reason", "fire drill"]
        let release = try scene.client("two").start(["semq", "release", Self.queue] + words).wait()
        #expect(release.status == .exited(0), "\(release)")
        #expect(first.wait().status == .exited(76))
        let end = "semq: lab@bench:board.queue: root@two has ended this turn: fire drill; the command is told to end\n"
        #expect(first.err.hasSuffix(made + end), "\(first.err)")
        #expect(second.wait().out == "in\n")
    }

    /// There and back, more than any buffer on the way holds.
    @Test(arguments: Transport.allCases) func input(_ transport: Transport) throws {
        scene.transport = transport
        let big = scene.sandbox.path("big")
        #expect(try scene.sandbox.shell("head -c 6000000 /dev/urandom > big").status == .exited(0))
        let semq = acquire.joined(separator: " ")
        let result = try one.shell("\(semq) -q \(Self.queue) -- cat < \(big) | cmp - \(big)")
        #expect(result == .init(status: .exited(0), out: "", err: ""))
        let none = try start(["-q"], "cat; echo end").wait()
        #expect(none == .init(status: .exited(0), out: "end\n", err: ""))
    }

    /// A reader that takes nothing holds the command up; neither side puts it all into memory.
    @Test(arguments: Transport.allCases) func outputThatNobodyTakes(_ transport: Transport) throws {
        scene.transport = transport
        let semq = acquire.joined(separator: " ")
        let line = "\(semq) -q \(Self.queue) -- sh -c 'yes | head -c 50000000; echo done >there'"
        let reader = "until [ -e \(scene.sandbox.path("take")) ]; do sleep 0.02; done; exec wc -c"
        let running = try one.start(["sh", "-c", "\(line) | { \(reader); }"])
        #expect(Scene.comesToBe { (try? scene.status().holders.isEmpty) == false })
        let isDone = Event.happens(within: 2) { !file("there").isEmpty || running.hasEnded }
        #expect(!isDone)
        for process in try one.processes() + scene.bench.processes()
        where process.words.first?.hasSuffix("semq") == true {
            let status = (try? String(contentsOfFile: "/proc/\(process.pid)/status", encoding: .utf8)) ?? ""
            let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }?.split(separator: " ").dropFirst()
                .first
            #expect(Int(peak ?? "0")! < 64 << 10, "\(process.words)")
        }
        try scene.sandbox.write("take", "")
        #expect(running.wait().out.trimmingCharacters(in: .whitespacesAndNewlines) == "50000000")
    }

    @Test(arguments: Transport.allCases) func signals(_ transport: Transport) throws {
        scene.transport = transport
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] {
            let running = try start(
                ["-q"], "trap 'echo told; exit 9' \(signal); echo ready; while :; do sleep 0.02; done")
            #expect(Event.happens { running.out == "ready\n" }, "\(signal): \(running.err)")
            kill(try #require(running.inside), signal)
            #expect(running.wait() == .init(status: .exited(9), out: "ready\ntold\n", err: ""), "\(signal)")
        }
        #expect(scene.becomesFree())
    }

    @Test(arguments: Transport.allCases) func aStopFromTheTerminal(_ transport: Transport) throws {
        scene.transport = transport
        let running = try start([], "echo ready; \(Self.untilGo)")
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        kill(try #require(running.inside), SIGTSTP)
        #expect(Event.happens { running.err.contains("Ctrl-Z stops nothing here") }, "\(running.err)")
        try open("go")
        #expect(running.wait().status == .exited(0), "\(running.err)")
    }

    @Test(arguments: Transport.allCases) func whoCannotHaveItNow(_ transport: Transport) throws {
        scene.transport = transport
        let holder = try scene.holding("a", on: scene.client("two"))
        #expect(try start(["-n"], "echo in").wait().status == .exited(75))
        let late = try start(["-w", "0.5"], "echo in").wait()
        #expect(late.status == .exited(75) && late.out == "" && late.err.contains("not granted in time"), "\(late)")
        let next = try start(["-q"], "echo in")
        #expect(Scene.comesToBe { (try? scene.status().stands("there")) == true })
        #expect(next.out == "")
        try holder.leave()
        #expect(next.wait() == .init(status: .exited(0), out: "in\n", err: ""))
    }

    /// A log-in shell that stands still is given a minute by those who wait for ever.
    @Test(arguments: Transport.allCases) func theWayThereCountsAsWaiting(_ transport: Transport) throws {
        scene.transport = transport
        let wait = "until [ -e go ]; do sleep 0.1; done"
        #expect(try scene.bench.shell("echo '\(wait)' >.bashrc", user: "lab").status == .exited(0))
        let late = try start(["-w", "2"], "echo in")
        #expect(Event.happens(within: 30) { late.hasEnded }, "\(late.err)")
        let result = late.wait()
        #expect(result.status == .exited(75) && result.out == "", "\(result)")
        #expect(result.err.contains("lab@bench:board.queue: not granted in time"), "\(result)")
        #expect(try scene.bench.shell("touch go", user: "lab").status == .exited(0))
    }

    // MARK: cuts

    /// Cut again and again, nothing is lost and nothing is there twice.
    @Test(arguments: Breakage.allCases, Transport.allCases)
    func aConnectionThatBreaks(_ breakage: Breakage, _ transport: Transport) throws {
        scene.transport = transport
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        #expect(try scene.sandbox.shell("seq 100000 > numbers").status == .exited(0))
        let line = """
            i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; echo e$i >&2; read n; [ "$n" = $i ] || echo bad $n; sleep 0.01; done
            cat | tail -n 1
            """
        let running = try start(
            ["-q", "--lease", "20"], at: "lab@way:board.queue", line,
            input: scene.sandbox.path("numbers"))
        for part in 1...3 {
            #expect(
                Event.happens { running.out.split(separator: "\n").count >= part * 100 }, "\(running.err.suffix(500))")
            try proxy.act(breakage)
        }
        let result = running.wait()
        let numbers = (1...400).map(String.init)
        #expect(result.status == .exited(0), "\(result.err.suffix(500))")
        #expect(result.out == (numbers + ["100000"]).joined(separator: "\n") + "\n")
        #expect(result.err == numbers.map { "e\($0)\n" }.joined())
        #expect(scene.becomesFree())
    }

    /// Longer than the lease: what runs there is dead before the next is in.
    @Test(arguments: Transport.allCases) func aCutThatIsTooLong(_ transport: Transport) throws {
        scene.transport = transport
        let running = try start(
            ["--lease", "5"],
            "trap '' TERM; echo ready; while :; do read now _ </proc/uptime; echo $now >>alive; sleep 0.02; done")
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        let next = try scene.waiting("b", on: scene.client("two"))
        try scene.bench.drop(one)
        #expect(Event.happens(within: 30) { next.isIn }, "\(next.said)")
        let entered = try #require(scene.timeline.entries.first)
        let last = try #require(file("alive").split(separator: "\n").last.flatMap { Double($0) })
        #expect(last < Double(entered.start) / 1e9, "seconds since the machine was booted")
        #expect(running.wait().status == .exited(76))
        #expect(running.err.contains("the lock is lost") && running.err.contains("is being ended"), "\(running.err)")
        try next.leave()
        #expect(next.running.wait().status == .exited(0))
    }

    enum Loss: CaseIterable { case cut, killed, stopped }

    /// What it prints meanwhile goes nowhere, and doesn't end it.
    @Test(arguments: Loss.allCases) func whatIsEndedCanCleanUp(after loss: Loss) throws {
        let running = try start(
            ["--lease", "5"],
            "trap 'seq 100000; echo cleaned >&2; : >cleaned; exit 5' TERM; echo ready; while :; do sleep 0.02; done")
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        let client = try #require(running.inside)
        switch loss {
        case .cut: try scene.bench.drop(one)
        case .killed: kill(client, SIGKILL)
        case .stopped: kill(client, SIGSTOP)
        }
        #expect(Event.happens(within: 30) { scene.bench.exists("/home/lab/cleaned") })
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true })
        let history = file("board.queue.history").split(separator: "\n").compactMap {
            $0.firstMatch(of: #/"event": "([a-z]+)"/#).map { String($0.1) }
        }
        #expect(history == ["granted", "lost", "released"], "nobody has ended it")
        guard loss == .stopped else { return }
        // What runs it on the host has stopped with it.
        running.send(SIGCONT)
        kill(client, SIGCONT)
        #expect(running.wait().status == .exited(76))
        let lost = "the lock is lost: nothing was heard for the length of the lease; the command there was ended"
        #expect(running.err.split(separator: "\n").last == "semq: lab@bench:board.queue: \(lost)", "\(running.err)")
    }

    /// Nobody is left who renews the lease.
    @Test(arguments: Transport.allCases) func theClientIsKilled(_ transport: Transport) throws {
        scene.transport = transport
        let running = try start(["-q", "--lease", "5"], "echo $$ >pid; exec sleep 1000")
        #expect(Event.happens { !file("pid").isEmpty }, "\(running.err)")
        let next = try scene.waiting("b", on: scene.client("two"))
        kill(try #require(running.inside), SIGKILL)
        #expect(Event.happens(within: 30) { next.isIn }, "\(next.said)")
        #expect(try scene.bench.processes().allSatisfy { $0.words != ["sleep", "1000"] })
        try next.leave()
        #expect(next.running.wait().status == .exited(0))
    }

    /// It has no turn of its own that could be ended: it runs under the permit of the command around it.
    @Test(arguments: Transport.allCases) func aNestedOneWhoseClientIsKilled(_ transport: Transport) throws {
        scene.transport = transport
        let inner = "trap '' TERM; echo $$ >pid; setsid sleep 1000 & while :; do sleep 1; done"
        try scene.sandbox.write("inner", inner)
        let semq = acquire.joined(separator: " ")
        let line = "\(semq) -q --lease 5 \(Self.queue) -- sh -c \"$(cat \(scene.sandbox.path("inner")))\""
        let outer = try one.start(
            ["semq", "acquire", "-q"] + transport.options
                + [Self.queue, "--", "sh", "-c", "\(line); echo outer goes on"])
        #expect(Event.happens { !file("pid").isEmpty }, "\(outer.err)")
        let next = try scene.waiting("b", on: scene.client("two"))
        let clients = try one.processes().filter { $0.words.contains("--there") }
        #expect(!clients.isEmpty)
        for client in clients { kill(client.pid, SIGKILL) }
        #expect(Event.happens(within: 40) { next.isIn }, "\(next.said)")
        #expect(outer.wait().out == "outer goes on\n")
        #expect(try scene.bench.processes().allSatisfy { $0.words.first != "sleep" })
        try next.leave()
        #expect(next.running.wait().status == .exited(0))
    }

    /// The command that is silent goes on, and keeps its turn.
    @Test(arguments: Transport.allCases) func theAgentIsKilled(_ transport: Transport) throws {
        scene.transport = transport
        let running = try start(["--lease", "20"], "echo ready; \(Self.untilGo); : >end")
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        for agent in try scene.agents() { kill(agent.pid, SIGKILL) }
        #expect(Event.happens(within: 30) { running.hasEnded })
        #expect(running.wait().status == .exited(76))
        #expect(running.err.contains("if it still runs, it keeps its turn until it ends"), "\(running.err)")
        #expect(try scene.status().holds("there"))
        try open("go")
        #expect(scene.becomesFree())
        #expect(scene.bench.exists("/home/lab/end"))
    }
}
