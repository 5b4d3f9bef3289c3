import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The lock follows the work: it stays while the command runs and goes when the command ends, whoever
/// of `semq` and its guardian is killed meanwhile.
@Suite struct GuardTests {
    /// A command under the lock that has written its pid to `pid` and ends, with 3, when `go` opens.
    private func working(_ sandbox: Sandbox) throws -> (semq: Running, guardian: pid_t, command: pid_t) {
        try sandbox.gate("go")
        let semq = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", "echo $$ > pid; read x < go; exit 3")
        let command = try sandbox.pid(in: "pid")
        return (semq, try #require(Processes.guardian(of: semq.pid)), command)
    }

    // MARK: killed

    @Test func theLockStaysWithTheCommandWhenSemqIsKilled() throws {
        let sandbox = try Sandbox()
        let (semq, guardian, command) = try working(sandbox)
        semq.send(SIGKILL)
        #expect(semq.wait().status == .signaled(SIGKILL))
        #expect(Processes.isAlive(guardian) && Processes.isAlive(command))
        #expect(try !sandbox.isFree("q"))
        #expect(sandbox.view("q")?.holders.count == 1)
        let waiter = try sandbox.waiting("q", as: "next")
        try sandbox.open("go")
        #expect(waiter.wait().status == .exited(0))
        #expect(Event.happens { !Processes.isAlive(guardian) })
    }

    @Test func theExitCodeIsStillTheCommandsWhenTheGuardianIsKilled() throws {
        let sandbox = try Sandbox()
        let (semq, guardian, command) = try working(sandbox)
        kill(guardian, SIGKILL)
        #expect(Event.happens { !Processes.isAlive(guardian) })
        #expect(Processes.isAlive(command))
        #expect(try !sandbox.isFree("q"))
        try sandbox.open("go")
        #expect(semq.wait() == .init(status: .exited(3), out: "", err: ""))
        #expect(try sandbox.isFree("q"))
        #expect(try sandbox.semq("history", "--json", "q").out.contains("\"event\": \"released\""))
    }

    @Test func aSignalToSemqStillReachesTheCommandWhenTheGuardianWasKilled() throws {
        let sandbox = try Sandbox()
        let (semq, guardian, command) = try working(sandbox)
        kill(guardian, SIGKILL)
        #expect(
            Event.happens { Processes.children(of: semq.pid).contains(command) }, "semq is the command's parent now")
        semq.send(SIGTERM)
        #expect(semq.wait().status == .signaled(SIGTERM))
        #expect(!Processes.isAlive(command))
        #expect(try sandbox.isFree("q"))
    }

    @Test func theCommandsDescriptorKeepsTheLockWhenBothAreKilled() throws {
        let sandbox = try Sandbox()
        let (semq, guardian, command) = try working(sandbox)
        // Stopped first: none of them may learn of the other's death.
        kill(guardian, SIGSTOP)
        semq.send(SIGKILL)
        kill(guardian, SIGKILL)
        semq.wait()
        #expect(Event.happens { !Processes.isAlive(guardian) })
        #expect(Processes.isAlive(command))
        #expect(try !sandbox.isFree("q"))
        let waiter = try sandbox.waiting("q", as: "next")
        try sandbox.open("go")
        #expect(waiter.wait().status == .exited(0))
        #expect(!Processes.isAlive(command))
    }

    @Test func aStoppedGuardianIsContinuedBySemq() throws {
        let sandbox = try Sandbox()
        let (semq, guardian, _) = try working(sandbox)
        kill(guardian, SIGSTOP)
        try sandbox.open("go")
        #expect(semq.wait().status == .exited(3))
    }

    // MARK: the end of the command

    @Test func aDaemonThatTheCommandLeavesBehindHoldsNothing() throws {
        let sandbox = try Sandbox()
        let script = "setsid sleep 60 > /dev/null 2>&1 & echo $! > daemon; exit 4"
        let result = try sandbox.semq("acquire", "-q", "q", "--", "bash", "-c", script)
        #expect(result.status == .exited(4))
        let daemon = try sandbox.pid(in: "daemon")
        #expect(try sandbox.isFree("q"))
        #expect(Processes.isAlive(daemon), "it is left alone")
        kill(daemon, SIGKILL)
    }

    @Test func aMissingCommandIs127AndTheLockIsFreeAgain() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "q", "--", "no-such-command", "x")
        let sentence = "semq: no-such-command: No such file or directory; is it in PATH?\n"
        #expect(result == .init(status: .exited(127), out: "", err: sentence))
        #expect(try sandbox.isFree("q"))
    }

    @Test func aCommandThatCannotBeExecutedIs126AndTheLockIsFreeAgain() throws {
        let sandbox = try Sandbox()
        try sandbox.write("text", "no program\n")
        let result = try sandbox.semq("acquire", "-q", "q", "--", "./text")
        #expect(result == .init(status: .exited(126), out: "", err: "semq: ./text: Permission denied\n"))
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "/tmp").status == .exited(126))
        #expect(try sandbox.isFree("q"))
    }

    @Test func aCommandThatClosesAllDescriptorsKeepsTheLock() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let script = """
            for fd in /proc/$$/fd/*; do eval "exec ${fd##*/}>&-"; done
            echo $$ > pid; read x < go; exit 9
            """
        let semq = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", script)
        let command = try sandbox.pid(in: "pid")
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(command)/fd")
        #expect(
            !open.contains {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(command)/fd/\($0)"))?.hasSuffix(
                    "/q") ?? false
            })
        #expect(try !sandbox.isFree("q"))
        semq.send(SIGKILL)
        semq.wait()
        #expect(try !sandbox.isFree("q"), "the guardian has it")
        try sandbox.open("go")
        #expect(sandbox.queue("q") { $0.holders.isEmpty })
    }

    // MARK: what the command is started with

    @Test(arguments: ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
    func standardDescriptorsThatAreClosedStayClosed(_ closed: String) throws {
        let sandbox = try Sandbox()
        let script = "for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n; done >> open; echo out; echo err >&2; exit 8"
        try sandbox.executable("command", "#!/bin/bash\n\(script)\n")
        let plain = try sandbox.shell("exec ./command \(closed)")
        try #require(plain.status == .exited(8))
        let expected = sandbox.read("open")
        let result = try sandbox.shell("exec semq acquire q -- ./command \(closed)")
        #expect(result.status == .exited(8))
        #expect(result.out == plain.out)
        #expect(sandbox.read("open") == expected + expected)
        #expect(try sandbox.isFree("q"))
        #expect(sandbox.view("q") != nil, "nothing was written into the queue")
    }

    @Test func theCommandFindsNoDescriptorOfOursBelow100() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let list = "for fd in /proc/$$/fd/*; do n=${fd##*/}; [ $n -lt 100 ] && echo $n; done"
        let plain = try sandbox.shell("exec 5</dev/null; bash -c '\(list)'")
        try #require(plain.out.contains("5\n"))
        // One that waits goes another way than one that goes straight through.
        let waiter = try sandbox.startingShell(
            "exec 5</dev/null; exec semq acquire -q -m waiter q -- bash -c '\(list)'")
        #expect(sandbox.queue("q") { !$0.waiting.isEmpty })
        holder.stop()
        #expect(waiter.wait() == plain)
        #expect(try sandbox.shell("exec 5</dev/null; semq acquire -q q -- bash -c '\(list)'") == plain)
    }

    @Test(arguments: [
        "", "--ignore-signal=PIPE", "--ignore-signal=CHLD", "--ignore-signal=HUP,INT,QUIT,TSTP,TERM",
        "--block-signal=USR1,USR2,TERM", "--block-signal=TSTP,CHLD,URG", "--ignore-signal",
    ])
    func signalsAreIgnoredAndBlockedForTheCommandAsForSemq(_ option: String) throws {
        let sandbox = try Sandbox()
        let show = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"
        let plain = try sandbox.shell("exec env \(option) \(show)")
        try #require(plain.out.split(separator: "\n").count == 3)
        #expect(try sandbox.shell("exec env \(option) semq acquire -q q -- \(show)") == plain)
        let holder = try sandbox.holding("q")
        let waiter = try sandbox.startingShell("exec env \(option) semq acquire -q q -- \(show)")
        #expect(sandbox.queue("q") { !$0.waiting.isEmpty })
        holder.stop()
        #expect(waiter.wait() == plain, "also for one that has waited")
    }

    @Test func limitsAndWorkingFolderAreInherited() throws {
        let sandbox = try Sandbox()
        let show = "pwd; ulimit -a; umask; nice"
        let plain = try sandbox.shell("umask 027; ulimit -c 7; exec nice -n 3 bash -c '\(show)'")
        #expect(
            try sandbox.shell("umask 027; ulimit -c 7; exec nice -n 3 semq acquire -q q -- bash -c '\(show)'") == plain)
    }

    @Test func aBrokenPipeEndsTheCommandAsWithoutSemq() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell("semq acquire -q q -- yes | head -n 1; echo ${PIPESTATUS[0]}")
        #expect(result == .init(status: .exited(0), out: "y\n141\n", err: ""))
    }

    @Test func theReaderOfAPipeSeesItsEndWhenTheCommandClosesIt() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let semq = try sandbox.startingShell(
            "semq acquire -q q -- bash -c 'echo last; exec >&-; read x < go' | (cat > copied; : > ended)")
        #expect(Event.happens { sandbox.exists("ended") }, "semq and its guardian keep no end of the pipe open")
        #expect(sandbox.read("copied") == "last\n")
        try sandbox.open("go")
        semq.wait()
    }
}
