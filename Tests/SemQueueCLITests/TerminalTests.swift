import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The command has the terminal as if the shell had started it, and job control is the shell's.
@Suite struct TerminalTests {
    // MARK: Ctrl-C

    @Test func ctrlCEndsAShellLoopAroundIt() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("for i in 1 2 3; do semq acquire -q q -- sh -c 'echo in-$0; exec sleep 60' $i; done; echo after")
        #expect(bash.sees("in-1"))
        bash.type(Pty.interrupt)
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 130"))
        #expect(!bash.everything.contains("in-2") && !bash.everything.contains("after"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func ctrlCWhileWaitingEndsTheLoopAndLeavesTheQueue() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let bash = try Pty.bash(in: sandbox)
        bash.line("for i in 1 2 3; do semq acquire q -- echo in-$i; done; echo after")
        #expect(bash.sees("next in line"))
        bash.type(Pty.interrupt)
        #expect(bash.sees("\r\u{1b}[2K"), "the line is cleared")
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 130"))
        #expect(!bash.everything.contains("in-1") && !bash.everything.contains("after"))
        #expect(sandbox.view("q")?.waiting.isEmpty == true)
        holder.stop()
    }

    @Test func aCommandThatHandlesCtrlCGoesOnAndItsExitCodeCounts() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'trap \"echo caught\" INT; echo ready; read line; read line; exit 5'")
        #expect(bash.sees("ready"))
        bash.type(Pty.interrupt)
        #expect(bash.sees("caught"))
        #expect(bash.everything.split(separator: "caught").count == 2, "once, not once more from semq")
        bash.line("")
        bash.line("")
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 5"))
    }

    @Test func ctrlBackslashQuitsTheCommand() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("ulimit -c 0; semq acquire -q q -- sh -c 'echo ready; exec sleep 60'")
        #expect(bash.sees("ready"))
        bash.type("\u{1c}")
        #expect(bash.sees("Quit"))
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 131"))
    }

    // MARK: Ctrl-Z

    @Test func ctrlZStopsTheCommandAndForegroundContinuesIt() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'echo ready; read line; echo got $line; exit 3'")
        #expect(bash.sees("ready"))
        for _ in 0..<3 {
            bash.type(Pty.suspend)
            #expect(bash.sees("Stopped"))
            #expect(bash.sees("% "))
            #expect(try !sandbox.isFree("q"), "a stopped command keeps what it holds")
            bash.line("fg")
            #expect(bash.sees("semq acquire"))
        }
        bash.line("hello")
        #expect(bash.sees("got hello"))
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 3"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func aBackgroundCommandThatReadsTheTerminalStopsAndComesForward() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'read line; echo got $line' &")
        #expect(bash.sees("% "))
        #expect(
            Event.happens {
                bash.line("")
                return bash.text.contains("Stopped")
            })
        bash.line("fg")
        #expect(bash.sees("semq acquire"))
        bash.line("hello")
        #expect(bash.sees("got hello"))
    }

    @Test func aBackgroundJobRunsAndEnds() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'echo ready; read x < go; echo done; exit 4' &")
        #expect(bash.sees("ready"))
        bash.line("kill -TSTP %1")
        #expect(
            Event.happens {
                bash.line("jobs")
                return bash.text.contains("Stopped")
            })
        bash.line("bg; wait %1; echo code $?")
        try sandbox.open("go")
        #expect(bash.sees("done"))
        #expect(bash.sees("code 4"))
    }

    @Test func aStoppedWaiterIsPassedAndKeepsItsPlace() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -m first q -- sh -c 'echo first >> log; echo mine'")
        #expect(bash.sees("next in line"))
        let second = try sandbox.waiting("q", as: "second")
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        #expect(bash.sees("% "))
        let began = ContinuousClock.now
        holder.stop()
        #expect(second.wait().status == .exited(0))
        #expect(ContinuousClock.now - began < .seconds(4), "whom the terminal has stopped gives way at once")

        let again = try sandbox.holding("q")
        let third = try sandbox.waiting("q", as: "third")
        bash.line("fg")
        #expect(bash.sees("next in line"))
        #expect(sandbox.queue("q") { $0.waiting.map(\.description) == ["first", "third"] }, "its place is as before")
        again.stop()
        #expect(bash.sees("mine"))
        #expect(third.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["second", "first", "third"])
    }

    // MARK: the terminal itself

    @Test func theSettingsOfTheTerminalStayAsTheyWere() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let bash = try Pty.bash(in: sandbox)
        bash.line("stty -g > before; semq acquire q -- stty -g > under; stty -g > after; echo finished")
        #expect(sandbox.queue("q") { !$0.waiting.isEmpty })
        holder.stop()
        #expect(bash.sees("finished"))
        #expect(sandbox.read("before") != "")
        #expect(sandbox.read("under") == sandbox.read("before"))
        #expect(sandbox.read("after") == sandbox.read("before"))
    }

    @Test func aFullScreenProgramInRawModeReadsEachKey() throws {
        let sandbox = try Sandbox()
        try sandbox.executable(
            "editor",
            """
            #!/bin/bash
            saved=$(stty -g); stty raw -echo
            printf '\\e[?1049h\\e[2Jsize %s' "$(stty size)"
            while key=$(dd bs=1 count=1 2>/dev/null | od -An -tx1); [ "$key" != " 71" ]; do
                printf '<%s>' "$key"
            done
            printf '\\e[?1049l'; stty "$saved"

            """)
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- ./editor; stty -a | grep -o '.icanon' ; echo code $?")
        #expect(bash.sees("\u{1b}[?1049h\u{1b}[2Jsize 24 120"))
        bash.type("a\u{3}\u{1a}")
        #expect(bash.sees("< 61>< 03>< 1a>"), "Ctrl-C and Ctrl-Z are keys here")
        bash.type("q")
        #expect(bash.sees("\u{1b}[?1049l"))
        #expect(bash.sees(" icanon"))
        #expect(bash.sees("code 0"))
    }

    @Test(.enabled(if: access("/usr/bin/vi", X_OK) == 0)) func viEditsAFile() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- vi -u NONE -i NONE note.txt; echo code $?")
        #expect(bash.sees("note.txt"))
        bash.type("ihello")
        #expect(bash.sees("hello"))
        bash.type("\u{1b}")
        bash.type(":wq\r")
        #expect(bash.sees("code 0"))
        #expect(sandbox.read("note.txt") == "hello\n")
    }

    @Test func aPipeAndTheTerminalCanBothBeRead() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("seq 3 | semq acquire -q q -- sh -c 'tail -n 1; echo ready; read x < /dev/tty; echo got $x' | cat")
        #expect(bash.sees("3\r\nready"))
        bash.line("hello")
        #expect(bash.sees("got hello"))
    }

    // MARK: signals that come from elsewhere

    @Test(arguments: [SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGQUIT, SIGWINCH])
    func aSignalToSemqReachesTheCommandOnce(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let script = "trap 'echo caught >> log' \(signal); : > ready; until [ -e go ]; do sleep 0.02; done; exit 6"
        let semq = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", script)
        #expect(Event.happens { sandbox.exists("ready") })
        semq.send(signal)
        #expect(Event.happens { sandbox.exists("log") })
        try sandbox.write("go", "")
        #expect(semq.wait().status == .exited(6))
        #expect(sandbox.lines("log") == ["caught"])
    }

    @Test func hangUpOfTheTerminalEndsTheCommandAndFreesTheSlot() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line(
            "semq acquire -q q -- sh -c 'trap \"echo hup > log; exit\" HUP; echo ready; while :; do sleep 0.1; done'")
        #expect(bash.sees("ready"))
        bash.hangUp()
        #expect(Event.happens { sandbox.read("log") == "hup\n" })
        #expect(sandbox.queue("q") { $0.holders.isEmpty })
        #expect(Event.happens { Processes.session(bash.pid).allSatisfy { !Processes.isAlive($0) } })
    }

    @Test(arguments: [true, false])
    func aStoppedJobEndsWithItsTerminalOrItsShell(_ hangsUp: Bool) throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'echo $$ > pid; echo ready; read x'")
        #expect(bash.sees("ready"))
        let command = try sandbox.pid(in: "pid")
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        if hangsUp { bash.hangUp() } else { kill(bash.pid, SIGKILL) }
        // The kernel hangs up and continues stopped jobs that nobody is left to continue.
        #expect(Event.happens { !Processes.isAlive(command) })
        #expect(sandbox.queue("q") { $0.holders.isEmpty })
    }

    @Test func aPipelineStopsAndContinuesAsOneJob() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'echo ready; read x; echo got $x' | cat")
        #expect(bash.sees("ready"))
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        bash.line("fg")
        #expect(bash.sees("| cat"))
        bash.line("hello")
        #expect(bash.sees("got hello"))
    }

    @Test func hangUpOfAWaitersTerminalLeavesTheQueue() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire q -- touch ran")
        #expect(bash.sees("next in line"))
        bash.hangUp()
        #expect(sandbox.queue("q") { $0.waiting.isEmpty })
        #expect(Event.happens { Processes.session(bash.pid).allSatisfy { !Processes.isAlive($0) } })
        holder.stop()
        #expect(!sandbox.exists("ran"))
    }

    @Test func underNohupAHangUpIsIgnoredAsTheCommandWants() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let semq = try sandbox.startingShell("exec nohup semq acquire -q q -- sh -c ': > ready; read x < go; exit 2'")
        #expect(Event.happens { sandbox.exists("ready") })
        semq.send(SIGHUP)
        try sandbox.open("go")
        #expect(semq.wait().status == .exited(2))
    }
}
