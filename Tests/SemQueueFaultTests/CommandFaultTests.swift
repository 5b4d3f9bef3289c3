import Glibc
import SemQueueTestSupport
import Testing

/// Commands that can't start, end badly, let go of everything or leave something behind, and a `semq`
/// that is started without standard descriptors.
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
        #expect(path.err == "semq: ./no/such: No such file or directory\n")
        let nameless = try sandbox.semq("acquire", "board.queue", "--", "")
        #expect(nameless == .init(status: .exited(127), out: "", err: "semq: the command's name is empty\n"))
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
            ("./script", 126, "Permission denied"), ("./folder", 126, "is a folder, not a command"),
            (
                "./orphan", 127,
                "No such file or directory; it is there, but what its first line or its header names to run it is not"
            ), ("./script/deeper", 126, "Not a directory"),
        ] {
            let result = try sandbox.semq("acquire", "board.queue", "--", command)
            #expect(result.status == .exited(Int32(code)), "\(command)")
            #expect(result.err == "semq: \(command): \(reason)\n")
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

    /// The guardian is slow to begin, and by then something has left the command's tree.
    @Test func whatLeavesTheTreeAtOnceIsEndedWithIt() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let strace = [
            "strace", "-f", "-qq", "-o", "trace", "-e", "trace=prctl", "-e", "inject=prctl:delay_enter=300000",
        ]
        let script = "(setsid sh -c 'echo $$ > orphan; exec sleep 300' &) ; exec sleep 300"
        let holder = try sandbox.start(
            strace + [Sandbox.binary, "acquire", "-q", "board.queue", "--", "bash", "-c", script])
        try #require(Event.happens { !sandbox.lines("orphan").isEmpty })
        let orphan = try #require(pid_t(sandbox.lines("orphan")[0]))
        #expect(Event.happens { sandbox.read("trace").contains("semq-guardian") })
        _ = try sandbox.semq("release", "board.queue", "--ticket", "1", "--reason", "fire drill")
        #expect(holder.wait().status == .exited(76))
        #expect(Machine.state(of: orphan) == nil, "it is dead")
        kill(orphan, SIGKILL)
    }

    /// The SIGCONT that `semq` gets then is lost, because it does not stand yet.
    @Test func aCommandGoesOnAsSemqIsAboutToStopWithIt() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let strace = ["strace", "-qq", "-o", "trace", "-e", "trace=tgkill", "-e", "inject=tgkill:delay_enter=1000000"]
        let script = "echo $$ > pid; until [ -e go ]; do sleep 0.05; done; exit 7"
        let holder = try sandbox.start(
            strace + [Sandbox.binary, "acquire", "-q", "board.queue", "--", "bash", "-c", script])
        try #require(Event.happens { !sandbox.lines("pid").isEmpty })
        let command = try #require(pid_t(sandbox.lines("pid")[0]))
        kill(command, SIGSTOP)
        #expect(Event.happens { Machine.state(of: command) == "T" })
        // Of the second in which `semq` is on its way into raise(3).
        usleep(300_000)
        kill(command, SIGCONT)
        try sandbox.write("go", "")
        #expect(Event.happens { holder.hasEnded }, "\(sandbox.read("trace"))")
        #expect(holder.wait().status == .exited(7))
        #expect(sandbox.read("trace").contains("SIGSTOP"))
    }

    /// Whoever stops and continues the whole group, as a supervisor does: the guardian is slow, and what `semq` has handed
    /// on to it comes to the command after the SIGCONT.
    @Test func aGroupGoesOnBeforeTheStopHasComeToTheCommandTwice() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let script = "echo $$ $PPID > pid; until [ -e go ]; do read -t 0.05 <> <(:); done; exit 7"
        let holder = try sandbox.startingShell(
            "set -m; semq acquire -q board.queue -- bash -c '\(script)' & wait -f $!; echo $? > code")
        try #require(Event.happens { sandbox.lines("pid").count == 1 })
        let pids = sandbox.lines("pid")[0].split(separator: " ").compactMap { pid_t($0) }
        let (command, guardian) = (pids[0], pids[1])
        let group = getpgid(command)
        let strace = try sandbox.start([
            "strace", "-qq", "-o", "trace", "-p", "\(guardian)", "-e", "trace=kill", "-e",
            "inject=kill:delay_exit=1000000:when=1",
        ])
        try #require(Event.happens { Machine.isTraced(guardian) })
        kill(-group, SIGTSTP)
        // The guardian says so in the kill(2) that it doesn't come back from for a second.
        #expect(Event.happens { Machine.state(of: group) == "T" })
        kill(-group, SIGCONT)
        #expect(Event.happens { sandbox.lines("trace").count > 1 }, "it passes something on")
        try sandbox.write("go", "")
        #expect(Event.happens { holder.hasEnded }, "\(sandbox.read("trace"))")
        if !holder.hasEnded { kill(-group, SIGKILL) }
        _ = holder.wait()
        _ = strace.wait()
        #expect(sandbox.lines("code") == ["7"])
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
            // An answer that nobody can read is none.
            let isLost = closed.contains("1") && ["status", "doctor"].contains(command.prefix(6))
            #expect(result.status == .exited(isLost ? 74 : 0), "\(command): \(result.err)")
        }
        #expect(!sandbox.read("board.queue").contains("spoilt\n"))
        #expect(try isFree(sandbox))
    }
}
