import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The turn lasts as long as the work: until nobody is left in the command's session, however the command ended.
@Suite struct TurnLengthTests {
    /// A command, of which a child goes on at the board when its shell is gone, until the file `go` is there.
    ///
    /// - Parameter child: shell words that start it; `$work` is its script.
    private func working(_ sandbox: Sandbox, _ child: String, options: String = "", shell: String = "sh") throws
        -> (semq: Running, child: pid_t)
    {
        try sandbox.write(
            "work",
            "#!/bin/sh\ntrap '' \(ignored)\necho $$ > child\nuntil test -e go; do sleep 0.02; done\necho done >> log\n",
            executable: true)
        try sandbox.write("job", "#!/bin/\(shell)\nwork=./work\n\(child)\n", executable: true)
        let semq = try sandbox.startingShell("exec semq acquire -q \(options) q -- ./job")
        let pid = try sandbox.pid(in: "child")
        return (semq, pid)
    }

    private var ignored: String { "TERM HUP" }

    /// The next one waits as long as the child lives, and comes when it ends.
    private func keepsTurn(_ sandbox: Sandbox, _ child: pid_t) throws {
        let waiter = try sandbox.waiting("q", as: "next")
        #expect(try !sandbox.isFree("q"))
        #expect(Processes.isAlive(child))
        #expect(sandbox.lines("log").isEmpty)
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["done", "next"], "the next one came after the work")
        #expect(!Processes.isAlive(child))
    }

    // MARK: what the command leaves behind

    @Test func aBackgroundJobKeepsTheTurnAndTheExitCodeIsTheCommands() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "$work &\nuntil test -s child; do sleep 0.02; done; exit 3")
        try keepsTurn(sandbox, child)
        #expect(semq.wait() == .init(status: .exited(3), out: "", err: ""))
    }

    @Test func whatTimeoutLeavesKeepsTheTurn() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "exec timeout 0.3 sh -c './work & wait'")
        #expect(Event.happens { sandbox.view("q")?.holders.first?.remark?.contains("the command has ended") == true })
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .exited(124))
    }

    /// Who forks and exits is gone when its state is read, and its child is younger than the list of numbers.
    @Test(arguments: [0, 2000, 20_000]) func aChainOfProcessesKeepsTheTurn(microseconds: Int) throws {
        let sandbox = try Sandbox()
        let chain = """
            #include <fcntl.h>
            #include <unistd.h>
            int main(void) {
                while (access("go", F_OK) != 0) { if (fork() > 0) _exit(0); usleep(\(microseconds)); }
                write(open("log", O_CREAT | O_APPEND | O_WRONLY, 0644), "done\\n", 5);
            }
            """
        try sandbox.write("chain.c", chain)
        try #require(sandbox.shell("cc -O1 -o chain chain.c").status == .exited(0))
        let semq = try sandbox.startingShell("exec semq acquire -q q -- sh -c './chain &'")
        #expect(
            Event.happens {
                sandbox.view("q")?.holders.first?.remark?.contains("of it still runs") == true || semq.hasEnded
            })
        let waiter = try sandbox.startingShell("exec semq acquire -q q -- sh -c 'echo next >> log'")
        #expect(Event.happens { sandbox.view("q")?.waiting.isEmpty == false || sandbox.exists("log") })
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["done", "next"])
        #expect(semq.wait().status == .exited(0))
    }

    /// A daemon has a session of its own, but what it had started before is in the old one.
    @Test func aProcessOfTheSessionBelowADaemonKeepsTheTurn() throws {
        guard Machine.has(.program("perl", package: "perl")) else { return }
        let sandbox = try Sandbox()
        let daemon =
            "use POSIX; exit if fork; unless (fork) { exec './work' } POSIX::setsid(); open F, '>', 'daemon'; "
            + "print F \"$$\\n\"; close F; select undef, undef, undef, 60;"
        let (semq, child) = try working(
            sandbox,
            "perl -e \"\(daemon.replacing("\"", with: "\\\"").replacing("$$", with: "\\$\\$"))\"; until test -s child; do sleep 0.02; done; exit 4"
        )
        let daemonPid = try sandbox.pid(in: "daemon")
        defer { kill(daemonPid, SIGKILL) }
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .exited(4))
        #expect(Processes.isAlive(daemonPid), "a daemon is let alone")
    }

    @Test func aDaemonHoldsNobodyUp() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "setsid -f $work; until test -s child; do sleep 0.02; done; exit 5")
        #expect(semq.wait().status == .exited(5))
        #expect(Processes.isAlive(child))
        #expect(try sandbox.isFree("q"))
        kill(child, SIGKILL)
    }

    @Test func aDaemonKeepsTheTurnWhereTheTreeIsWaitedFor() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(
            sandbox, "setsid -f $work; until test -s child; do sleep 0.02; done; exit 5", options: "--until tree")
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .exited(5))
    }

    @Test func onlyTheCommandCountsWhereThatIsAskedFor() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(
            sandbox, "$work &\nuntil test -s child; do sleep 0.02; done; exit 6", options: "--until command")
        #expect(semq.wait().status == .exited(6))
        #expect(Processes.isAlive(child))
        #expect(try sandbox.isFree("q"))
        kill(child, SIGKILL)
    }

    /// The command itself may make a session (setsid, a terminal of its own): then that is where it works.
    @Test func theSessionThatTheCommandHasMadeCounts() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(
            sandbox, "exec setsid sh -c './work & until test -s child; do sleep 0.02; done; exit 7'")
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .exited(7))
    }

    // MARK: whoever of us dies

    @Test(arguments: ["semq", "guardian"]) func whatIsLeftKeepsTheTurnWhenWeAreKilled(_ victim: String) throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "$work &\nuntil test -s child; do sleep 0.02; done; exit 3")
        #expect(Event.happens { sandbox.view("q")?.holders.first?.remark != nil })
        let guardian = try #require(Processes.guardian(of: semq.pid))
        kill(victim == "semq" ? semq.pid : guardian, SIGKILL)
        #expect(Event.happens { !Processes.isAlive(victim == "semq" ? semq.pid : guardian) })
        try keepsTurn(sandbox, child)
        if victim == "guardian" { #expect(semq.wait().status == .exited(3)) }
        #expect(Event.happens { !Processes.isAlive(guardian) })
    }

    /// A killed `semq` can't be asked whether it was told to end, and nobody waits for its answer.
    @Test func aDaemonHoldsNobodyUpWhereSemqWasKilled() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("gate")
        // The least of several: on a loaded machine one may take long.
        let times = try (1...3).map { round in
            let (semq, child) = try working(
                sandbox, "setsid -f $work; read x < gate; exec date +%s.%N > ended", options: "-m \(round)")
            defer { kill(child, SIGKILL) }
            semq.send(SIGKILL)
            semq.wait()
            let waiter = try sandbox.startingShell("exec semq acquire -q q -- date +%s.%N")
            try #require(sandbox.queue("q") { !$0.waiting.isEmpty })
            try sandbox.open("gate")
            let granted = try #require(Double(waiter.wait().out.trimmingCharacters(in: .whitespacesAndNewlines)))
            #expect(Processes.isAlive(child))
            unlink(sandbox.path("child"))
            return granted - (try #require(Double(sandbox.lines("ended").last ?? "")))
        }
        #expect(try #require(times.min()) < 0.6, "\(times)")
    }

    /// Daemons are no reason: where one is asked for an answer that stands still, nobody is told that the work goes on.
    @Test func aDaemonIsNotSaidToKeepTheTurn() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("gate")
        let (semq, child) = try working(sandbox, "setsid -f $work; read x < gate")
        defer { kill(child, SIGKILL) }
        semq.send(SIGSTOP)
        let waiter = try sandbox.waiting("q", as: "next")
        try sandbox.open("gate")
        #expect(waiter.wait().status == .exited(0))
        #expect(!waiter.err.contains("still runs"), "\(waiter.err)")
        semq.send(SIGCONT)
        semq.wait()
    }

    // MARK: told to end

    /// A CI that cancels. Six of six times the next one was let in beside the child.
    @Test(arguments: ["sh -c './work & wait'", "sh -c './work; true'", "timeout 60 sh -c './work; true'"])
    func whatIsToldToEndLeavesNobodyBehind(_ command: String) throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "exec \(command)", options: "--grace 0.5")
        let waiter = try sandbox.start([
            Sandbox.binary, "acquire", "-m", "next", "q", "--", "sh", "-c",
            "kill -0 \(child) 2>/dev/null && echo beside >> log; echo next >> log",
        ])
        try #require(sandbox.queue("q") { !$0.waiting.isEmpty })
        semq.send(SIGTERM)
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["next"], "the child is dead before the next one comes")
        #expect(semq.wait().status != .exited(0))
    }

    @Test func daemonsAreEndedToo() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "setsid -f $work; exec sleep 60", options: "--grace 0.2")
        semq.send(SIGTERM)
        #expect(semq.wait().status == .signaled(SIGTERM))
        #expect(!Processes.isAlive(child))
        #expect(try sandbox.isFree("q"))
    }

    /// As `timeout`, a shell's `kill %1` and many a CI send it: the command dies of its own before we have heard of ours.
    @Test(arguments: 0..<12) func aSignalToTheWholeGroupEndsDaemonsToo(_ round: Int) throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "setsid -f $work; exec sleep 60", options: "--grace 0.2")
        kill(-semq.pid, SIGTERM)
        #expect(semq.wait().status == .signaled(SIGTERM))
        #expect(!Processes.isAlive(child))
        #expect(try sandbox.isFree("q"))
    }

    /// Between SIGTERM and SIGKILL those who clean up have their time.
    @Test func whatHeedsSIGTERMIsNotKilled() throws {
        let sandbox = try Sandbox()
        try sandbox.write(
            "neat", "#!/bin/sh\ntrap 'echo cleaned >> log; exit' TERM\necho $$ > child\nwhile :; do sleep 0.02; done\n",
            executable: true)
        let semq = try sandbox.startingShell("exec semq acquire -q q -- sh -c './neat & exec sleep 60'")
        _ = try sandbox.pid(in: "child")
        semq.send(SIGTERM)
        #expect(semq.wait().status == .signaled(SIGTERM))
        #expect(sandbox.lines("log") == ["cleaned"])
    }

    @Test func aCommandThatIsToldToEndTakesItsTime() throws {
        let sandbox = try Sandbox()
        let command =
            "trap 'echo told >> log' TERM; echo $$ > pid; until test -e go; do sleep 0.02; done; echo done >> log; exit 9"
        try sandbox.write("job", "#!/bin/sh\n\(command)\n", executable: true)
        let semq = try sandbox.startingShell("exec semq acquire -q --grace 0 q -- ./job")
        let pid = try sandbox.pid(in: "pid")
        semq.send(SIGTERM)
        #expect(Event.happens { sandbox.lines("log") == ["told"] })
        #expect(Processes.isAlive(pid) && !semq.hasEnded)
        try sandbox.write("go", "")
        #expect(semq.wait().status == .exited(9))
        #expect(sandbox.lines("log") == ["told", "done"])
    }

    @Test func aHangUpOfSemqLeavesThoseWhoIgnoreItTheTurn() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "sleep 61 & echo $! > heeds; $work & wait")
        let heeds = try sandbox.pid(in: "heeds")
        semq.send(SIGHUP)
        #expect(Event.happens { !Processes.isAlive(heeds) })
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .signaled(SIGHUP))
    }

    @Test func aSIGINTThatTheCommandOutlivesEndsNothing() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "trap 'exit 8' INT; $work & while :; do sleep 0.02; done")
        semq.send(SIGINT)
        #expect(Event.happens { sandbox.view("q")?.holders.first?.remark != nil })
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .exited(8))
    }

    @Test(arguments: [SIGTERM, SIGINT]) func whatIsLeftIsEndedByASignalToSemq(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(
            sandbox, "$work &\nuntil test -s child; do sleep 0.02; done; exit 3", options: "--grace 0.2")
        #expect(Event.happens { sandbox.view("q")?.holders.first?.remark != nil })
        semq.send(signal)
        #expect(semq.wait().status == .exited(3), "the command's own")
        #expect(!Processes.isAlive(child))
        #expect(try sandbox.isFree("q"))
    }

    @Test func releaseEndsWhatIsLeft() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "$work &\nuntil test -s child; do sleep 0.02; done; exit 3")
        #expect(Event.happens { sandbox.view("q")?.holders.first?.remark != nil })
        let release = try sandbox.semq("release", "q", "--ticket", "1", "--reason", "drill", "--grace", "0.1")
        #expect(release.status == .exited(0), "\(release.err)")
        #expect(semq.wait().status == .exited(76))
        #expect(!Processes.isAlive(child))
    }

    /// What is being ended has a long grace; then there is less.
    @Test(arguments: ["release", "deleted"]) func thereMayBeLessTimeThanTheGrace(_ how: String) throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(sandbox, "$work & wait", options: "--grace 600")
        let guardian = try #require(Processes.guardian(of: semq.pid))
        semq.send(SIGTERM)
        #expect(Event.happens { Processes.children(of: guardian) == [child] }, "the command has ended")
        if how == "release" {
            let release = try sandbox.semq("release", "q", "--ticket", "1", "--reason", "drill", "--grace", "0.1")
            #expect(release.status == .exited(0), "\(release.err)")
        } else {
            unlink(sandbox.path("q"))
        }
        #expect(semq.wait().status == .exited(76))
        #expect(!Processes.isAlive(child))
    }

    /// The first may leave it much time; the second doesn't.
    @Test func eachOfSeveralLossesCounts() throws {
        let sandbox = try Sandbox()
        try sandbox.write(
            "deaf", "#!/bin/sh\ntrap '' TERM\necho $$ > child\nwhile :; do sleep 0.05; done\n", executable: true)
        let semq = try sandbox.starting("acquire", "-q", "--all", "a", "b", "--", "./deaf")
        let child = try sandbox.pid(in: "child")
        var releases: [Running] = []
        for (queue, grace) in [("a", "600"), ("b", "0.2")] {
            releases.append(
                try sandbox.starting("release", queue, "--ticket", "1", "--reason", "drill", "--grace", grace))
            #expect(Event.happens { sandbox.read("\(queue).history").contains("removed") })
        }
        #expect(semq.wait().status == .exited(76))
        #expect(!Processes.isAlive(child))
    }

    /// Nobody has told `semq` to end: what the command leaves is let alone.
    @Test func aSIGTERMToTheCommandAloneEndsNothingElse() throws {
        let sandbox = try Sandbox()
        try sandbox.write(
            "daemon", "#!/bin/sh\necho > up\nuntil test -e go; do sleep 0.02; done\necho daemon > down\n",
            executable: true)
        let (semq, child) = try working(
            sandbox, "setsid -f ./daemon\n$work &\nuntil test -s child -a -e up; do sleep 0.02; done\nkill -TERM $$")
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .signaled(SIGTERM))
        #expect(Event.happens { sandbox.lines("down") == ["daemon"] })
    }

    // MARK: telling it

    @Test func peopleAreToldWhatKeepsTheTurn() throws {
        let sandbox = try Sandbox()
        let semq = try sandbox.startingShell(
            "exec semq acquire q -- sh -c 'sh -c \"trap : TERM; echo \\$\\$ > child; until test -e go; do sleep 0.02; done\" & exit'"
        )
        let child = try sandbox.pid(in: "child")
        let sentence = "the command has ended; sh (pid \(child))"
        #expect(semq.says("semq: q: \(sentence)"), "\(semq.err)")
        // No Ctrl-C reaches it: it has no terminal.
        #expect(semq.says(" it keeps the turn; kill \(semq.pid) (this semq) ends it\n"))
        #expect(sandbox.view("q")?.holders.first?.remark?.hasPrefix(sentence) == true)
        #expect(try sandbox.semq("status", "q").out.contains(sentence))
        let waiter = try sandbox.waiting("q", as: "next")
        #expect(waiter.says(sentence), "\(waiter.err)")
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(semq.wait().status == .exited(0))
        #expect(sandbox.view("q")?.holders.isEmpty == true)
    }

    /// Those who wait already are told when it happens.
    @Test func whoeverWaitsHearsOfTheEndOfTheCommand() throws {
        let sandbox = try Sandbox()
        try sandbox.write("work", "#!/bin/sh\nuntil test -e go; do sleep 0.02; done\n", executable: true)
        try sandbox.gate("gate")
        let semq = try sandbox.startingShell(
            "exec semq acquire -q q -- sh -c './work & read x < gate'")
        try #require(sandbox.queue("q") { !$0.holders.isEmpty })
        let waiter = try sandbox.waiting("q", as: "next")
        #expect(waiter.says("held by"))
        try sandbox.open("gate")
        #expect(
            waiter.says("(the command has ended; work (pid"), "\(waiter.err)"
        )
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        semq.wait()
    }

    /// It would hold the turn for ever, and nobody would know why.
    @Test func aStoppedProcessThatIsLeftIsSaidToBeStopped() throws {
        let sandbox = try Sandbox()
        let (semq, child) = try working(
            sandbox, "$work &\nuntil test -s child; do sleep 0.02; done; kill -STOP $!; exit 3")
        let said = "(pid \(child), stopped) of it still runs"
        #expect(Event.happens { sandbox.view("q")?.holders.first?.remark?.contains(said) == true })
        kill(child, SIGCONT)
        try keepsTurn(sandbox, child)
        #expect(semq.wait().status == .exited(3))
    }

    // MARK: at the terminal

    @Test func ctrlCEndsWhatTheCommandHasLeft() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire --grace 0.2 q -- sh -c 'sh -c \"trap \\\"\\\" INT TERM; sleep 62\" & exit 3'")
        #expect(bash.sees("it keeps the turn; Ctrl-C ends it"))
        bash.type(Pty.interrupt)
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 3"))
        #expect(try sandbox.isFree("q"))
    }

    /// Ctrl-C is the shell's then.
    @Test func inTheBackgroundAnotherWayOutIsSaidAndIsOne() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire --grace 0.2 q -- sh -c 'sh -c \"trap \\\"\\\" INT TERM; sleep 62\" & exit 3' &")
        #expect(bash.sees("it keeps the turn; kill "))
        #expect(bash.sees(" (this semq) ends it"))
        let semq = try #require(sandbox.view("q")?.holders.first?.pid)
        bash.line("kill \(semq); wait; echo code $?")
        #expect(bash.sees("code "))
        #expect(try sandbox.isFree("q"))
    }

    @Test func ctrlZStopsWhatTheCommandHasLeftAndForegroundContinuesIt() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire q -- sh -c 'sh -c \"until test -e go; do sleep 0.02; done\" & exit 3'")
        #expect(bash.sees("it keeps the turn; Ctrl-C ends it"))
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        #expect(try !sandbox.isFree("q"))
        bash.line("fg")
        #expect(bash.sees("semq acquire"))
        try sandbox.write("go", "")
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 3"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func aJobOfAnInteractiveShellKeepsTheTurnWhenThatIsLeft() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire q -- bash --norc --noediting -i")
        #expect(bash.sees("% "))
        bash.line("(until test -e go; do sleep 0.02; done) &")
        bash.line("exit 4")
        #expect(bash.sees("it keeps the turn"))
        #expect(try !sandbox.isFree("q"))
        try sandbox.write("go", "")
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 4"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func aClosedTerminalLeavesNohupTheTurn() throws {
        let sandbox = try Sandbox()
        try sandbox.write(
            "work", "#!/bin/sh\necho $$ > child\nuntil test -e go; do sleep 0.02; done\n", executable: true)
        let pty = try Pty(
            ["semq", "acquire", "-q", "q", "--", "sh", "-c", "nohup ./work >out 2>&1 & wait"], in: sandbox)
        let child = try sandbox.pid(in: "child")
        pty.hangUp()
        try keepsTurn(sandbox, child, next: ["next"])
    }

    @Test func aPipelineEndsWithItsLastProcess() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell(
            "semq acquire -q q -- sh -c 'echo a | sed s/a/b/ | cat' | cat; semq acquire -n -q q -- echo free")
        #expect(result == .init(status: .exited(0), out: "b\nfree\n", err: ""))
    }

    private func keepsTurn(_ sandbox: Sandbox, _ child: pid_t, next: [String]) throws {
        let waiter = try sandbox.waiting("q", as: "next")
        #expect(try !sandbox.isFree("q") && Processes.isAlive(child))
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == next)
    }
}
