import Glibc
import SemQueueTestSupport
import Testing

/// The command has the terminal as if the shell had started it.
@Suite struct TerminalTests {

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

    @Test func viEditsAFile() throws {
        guard Machine.has(.program("vi", package: "vim-tiny")) else { return }
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

    /// As `ssh -t host semq …` or a terminal's window starts it: then the kernel tells `semq` alone.
    @Test func hangUpReachesTheCommandOfASemqThatLeadsItsSession() throws {
        let sandbox = try Sandbox()
        let script = "trap 'echo hup > log; exit' HUP; echo ready; while :; do sleep 0.1; done"
        let leader = try Pty(["semq", "acquire", "-q", "q", "--", "sh", "-c", script], in: sandbox)
        #expect(leader.sees("ready"))
        leader.hangUp()
        #expect(Event.happens { sandbox.read("log") == "hup\n" })
        #expect(sandbox.queue("q") { $0.holders.isEmpty })
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
