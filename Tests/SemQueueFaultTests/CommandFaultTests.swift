import Glibc
import SemQueueTestSupport
import Testing

/// Commands that can't start, end badly, let go of everything or don't end, and a `semq` that is started
/// with next to nothing.
@Suite struct CommandFaultTests {
    private func isFree(_ sandbox: Sandbox) throws -> Bool {
        try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0)
    }

    @Test func missingCommandIsNamed() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        let bare = try sandbox.semq("acquire", "board.queue", "--", "no-such-command")
        #expect(bare.status == .exited(127))
        #expect(bare.err == "semq: no-such-command: No such file or directory; is it in PATH?\n")
        let path = try sandbox.semq("acquire", "board.queue", "--", "./no/such")
        #expect(path.status == .exited(127))
        #expect(path.err.hasPrefix("semq: ./no/such: No such file or directory"))
        let strange = try sandbox.semq("acquire", "board.queue", "--", "no\u{1b}[31m\nsuch")
        #expect(strange.status == .exited(127) && strange.err.isHarmless)
        #expect(try isFree(sandbox))
    }

    @Test func whatCannotBeExecutedIsNamed() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        try sandbox.write("script", "#!/bin/sh\necho ran\n")
        try sandbox.write("orphan", "#!/no/interpreter\n", executable: true)
        mkdir(sandbox.path("folder"), 0o755)
        for (command, code, reason) in [
            ("./script", 126, "Permission denied"), ("./folder", 126, "Permission denied"),
            ("./orphan", 127, "No such file or directory"), ("./script/deeper", 126, "Not a directory"),
        ] {
            let result = try sandbox.semq("acquire", "board.queue", "--", command)
            #expect(result.status == .exited(Int32(code)), "\(command)")
            #expect(result.err.hasPrefix("semq: \(command): \(reason)"), "\(result.err)")
            #expect(result.out.isEmpty)
            #expect(try isFree(sandbox))
        }
    }

    /// As the shell would, and execvp(3) does: what has no first line is a script for sh.
    @Test func scriptWithoutFirstLineRuns() throws {
        let sandbox = try Sandbox()
        try sandbox.write("plain", "echo plain $SEMQ_SLOT\n", executable: true)
        #expect(try sandbox.semq("acquire", "-q", "board.queue", "--", "./plain").out == "plain 0\n")
    }

    @Test(arguments: [SIGKILL, SIGSEGV, SIGTERM, SIGPIPE, SIGABRT, SIGINT, SIGHUP, SIGALRM, SIGXCPU])
    func deathBySignalFreesTheLockAndIsPassedOn(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq(
            "acquire", "-q", "board.queue", "--", "sh", "-c", "ulimit -c 0; kill -\(signal) $$")
        #expect(result == .init(status: .signaled(signal), out: "", err: ""))
        #expect(try isFree(sandbox))
    }

    /// sudo and ssh do: the guardian still knows when it ends. Even where `semq` was killed before.
    @Test(arguments: [false, true]) func commandThatClosesAllDescriptorsKeepsTheLock(semqIsKilled: Bool) throws {
        guard Machine.has(.program("perl", package: "perl")) else { return }
        let sandbox = try Sandbox()
        let script =
            "use POSIX; POSIX::close($_) for 0..1023; open(F, '>', 'in'); close(F); select(undef, undef, undef, 0.01) until -e 'go'; open(F, '>', 'out');"
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "perl", "-e", script)
        #expect(Event.happens { sandbox.exists("in") })
        if semqIsKilled {
            holder.send(SIGKILL)
            #expect(holder.wait().status == .signaled(SIGKILL))
        }
        let busy = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(busy.status == .exited(75))
        let next = try sandbox.startingShell("semq acquire -q board.queue -- sh -c 'cat out && echo free'")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true })
        try sandbox.write("go", "")
        if !semqIsKilled { #expect(holder.wait().status == .exited(0)) }
        #expect(next.wait() == .init(status: .exited(0), out: "free\n", err: ""))
    }

    /// What the command leaves behind has its descriptors, and holds nobody up.
    @Test(arguments: [
        "setsid sleep 300 & echo $! > daemon",
        "(setsid sh -c 'echo $$ > daemon; exec sleep 300' &) ; until [ -s daemon ]; do sleep 0.01; done",
    ]) func daemonLeftBehindDoesNotKeepTheLock(_ line: String) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "board.queue", "--", "bash", "-c", line)
        #expect(result.status == .exited(0))
        #expect(try isFree(sandbox))
        let daemon = try #require(pid_t(sandbox.lines("daemon")[0]))
        #expect(Machine.state(of: daemon) == "S", "it lives on")
        kill(daemon, SIGKILL)
    }

    /// Each set of standard descriptors may be closed when `semq` starts. The queue file must not become one of them: whatever
    /// the command writes would go into it.
    @Test(arguments: [["0"], ["1"], ["2"], ["0", "1"], ["0", "2"], ["1", "2"], ["0", "1", "2"]])
    func closedStandardDescriptorsStayClosed(_ closed: [String]) throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        let closing = closed.map { "\($0)>&-" }.joined(separator: " ")
        let look = "ls -l /proc/$$/fd > fds; echo spoilt; echo spoilt >&2; semq status board.queue > inner; true"
        let holder = try sandbox.startingShell("exec semq acquire board.queue -- bash -c '\(look)' \(closing)")
        #expect(holder.wait().status == .exited(0))
        for descriptor in ["0", "1", "2"] {
            let isOpen = sandbox.lines("fds").contains { $0.contains(" \(descriptor) -> ") }
            #expect(isOpen == !closed.contains(descriptor), "\(descriptor): \(sandbox.read("fds"))")
        }
        #expect(!sandbox.read("board.queue").contains("spoilt\n"))
        #expect(sandbox.read("inner").hasPrefix("board.queue: held, nobody waits\n"))
        // A waiter, and those who only look, too.
        for command in [
            "acquire -w 0.2 board.queue -- true", "status board.queue", "set board.queue --concurrency 1",
            "doctor board.queue",
        ] {
            let result = try sandbox.shell("exec semq acquire -q board.queue -- semq \(command) \(closing)")
            #expect(result.status == .exited(0), "\(command): \(result.err)")
        }
        #expect(!sandbox.read("board.queue").contains("spoilt\n"))
        #expect(try isFree(sandbox))
    }

    /// With as few as no free descriptors it is refused with the limit named, or it runs; nothing stays held.
    @Test func limitOfDescriptors() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        var ran = 0
        var refused = 0
        for limit in 3...16 {
            let result = try sandbox.shell("ulimit -n \(limit); exec semq acquire board.queue -- /bin/true")
            if result.status == .exited(0) {
                ran += 1
                #expect(result.err.isEmpty)
            } else {
                refused += 1
                #expect(result.status == .exited(74), "ulimit -n \(limit): \(result)")
                #expect(result.err.contains("Too many open files"), "ulimit -n \(limit): \(result.err)")
                #expect(result.err.contains("(ulimit -n)"), "ulimit -n \(limit): \(result.err)")
                #expect(ran == 0, "more is worse")
            }
            #expect(try isFree(sandbox), "after ulimit -n \(limit)")
        }
        #expect(ran > 5 && refused > 0)
    }

    /// The same behind another: what can't be had at the head of the queue gives the place back.
    @Test(arguments: 4...12) func limitOfDescriptorsWhileWaiting(_ limit: Int) throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let holder = try sandbox.start(
            [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["holder", "go"])
        #expect(Event.happens { oracle.names == ["holder"] })
        let poor = try sandbox.startingShell(
            "ulimit -n \(limit); exec semq acquire -q board.queue -- /bin/true")
        #expect(
            Event.happens {
                poor.hasEnded || (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true
            })
        let next = try sandbox.start([Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["next"])
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
        #expect(next.wait().status == .exited(0))
        let result = poor.wait()
        if result.status != .exited(0) {
            #expect(result.status == .exited(74), "ulimit -n \(limit): \(result)")
            #expect(result.err.contains("(ulimit -n)"), "ulimit -n \(limit): \(result.err)")
        }
        #expect(oracle.complaint == nil)
        #expect(try isFree(sandbox))
    }

    /// As a user who may have no more processes: the fork of the guardian or of the command fails.
    @Test(arguments: [false, true]) func limitOfProcesses(isQueued: Bool) throws {
        guard Machine.has(.root, .program("setpriv", package: "util-linux")) else { return }
        let sandbox = try Sandbox()
        chmod(sandbox.path("."), 0o777)
        let oracle = try Oracle(sandbox)
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        var codes: [Int32] = []
        for limit in 1...4 {
            let go = "go-\(limit)"
            // Each its own user: the dead count until they are reaped.
            let user = "\(64200 + limit + (isQueued ? 10 : 0))"
            let holder = try sandbox.start(
                [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["holder", go])
            #expect(Event.happens { oracle.names.count { $0 == "holder" } == limit })
            if !isQueued {
                try sandbox.write(go, "")
                holder.wait()
            }
            let words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "/bin/bash", "-c"]
            let poor = try sandbox.start(words + ["ulimit -u \(limit); exec semq acquire board.queue -- /bin/true"])
            if isQueued {
                #expect(
                    Event.happens {
                        (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true || poor.hasEnded
                    })
                try sandbox.write(go, "")
            }
            let result = poor.wait()
            #expect(holder.wait().status == .exited(0))
            guard case .exited(let code) = result.status else {
                Issue.record("ulimit -u \(limit): \(result)")
                continue
            }
            codes.append(code)
            if code != 0 {
                #expect(result.err.contains("Resource temporarily unavailable"), "ulimit -u \(limit): \(result.err)")
            }
            if code == 74 { #expect(result.err.contains("(ulimit -u)"), "ulimit -u \(limit): \(result.err)") }
            #expect(try isFree(sandbox), "after ulimit -u \(limit)")
        }
        #expect(codes == [74, 126, 0, 0] || codes == [74, 74, 0, 0])
    }
}
