import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq acquire` without a command: holds until its standard input ends or a signal comes.
@Suite struct HoldTests {
    @Test func itSaysThatItHoldsAndEndsWithItsInput() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("input")
        let hold = try sandbox.startingShell("exec semq acquire -q q < input")
        let input = try sandbox.writing("input")
        #expect(Event.happens { hold.out.hasSuffix("\n") })
        #expect(hold.out.wholeMatch(of: /acquired q ticket=1 slot=0 token=\d+\n/) != nil)
        let holder = try #require(sandbox.view("q")?.holders.first)
        #expect(holder.pid == hold.pid)
        #expect(holder.description == "(held without a command)")
        #expect(hold.out == "acquired q ticket=\(holder.ticket) slot=0 token=\(holder.token ?? 0)\n")
        #expect(Glibc.write(input, "what is written says nothing\n", 29) == 29)
        #expect(try !sandbox.isFree("q"))
        close(input)
        #expect(hold.wait().status == .exited(0))
        #expect(try sandbox.isFree("q"))
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT])
    func aSignalEndsItAndGivesTheSlotBack(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        try sandbox.gate("input")
        let hold = try sandbox.startingShell("exec semq acquire -q q <> input")
        #expect(Event.happens { hold.out.hasPrefix("acquired q ") && hold.out.hasSuffix("\n") })
        hold.send(signal)
        #expect(hold.wait().status == .signaled(signal))
        #expect(try sandbox.isFree("q"))
        let history = try sandbox.semq("history", "--json", "q").out
        #expect(history.contains("\"event\": \"released\"") && !history.contains("\"event\": \"lost\""))
    }

    @Test func killedItHoldsNothingAnyMore() throws {
        let sandbox = try Sandbox()
        let hold = try sandbox.startingShell("exec semq acquire -q q <> <(:)")
        #expect(Event.happens { hold.out.hasSuffix("\n") })
        let waiter = try sandbox.waiting("q", as: "next")
        hold.send(SIGKILL)
        #expect(hold.wait().status == .signaled(SIGKILL))
        #expect(waiter.wait().status == .exited(0))
    }

    @Test func aShellUsesItAsACoprocess() throws {
        let sandbox = try Sandbox()
        try sandbox.write(
            "script",
            """
            coproc LOCK { exec semq acquire -q q; }
            read -r word queue ticket rest <&"${LOCK[0]}"
            echo "$word $queue $ticket"
            semq acquire -n -q q -- true; echo "while held: $?"
            pid=$LOCK_PID
            exec {LOCK[1]}>&-
            wait "$pid"; echo "ended: $?"
            semq acquire -n -q q -- true; echo "afterwards: $?"

            """)
        let result = try sandbox.shell("bash script")
        let said = "acquired q ticket=1\nwhile held: 75\nended: 0\nafterwards: 0\n"
        #expect(result == .init(status: .exited(0), out: said, err: ""))
    }

    @Test func withEmptyInputItHoldsAndGivesBackAtOnce() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "q")
        #expect(result.status == .exited(0))
        #expect(result.out.hasPrefix("acquired q ticket=1 "))
        #expect(try sandbox.isFree("q"))
    }

    @Test func busyItPrintsNothingAndExitsWith75() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        #expect(try sandbox.semq("acquire", "-q", "-n", "q") == .init(status: .exited(75), out: "", err: ""))
        holder.stop()
    }

    @Test func itWaitsItsTurnLikeACommand() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let hold = try sandbox.start([Sandbox.binary, "acquire", "-m", "coprocess", "q"])
        #expect(sandbox.queue("q") { $0.waiting.map(\.description) == ["coprocess"] })
        #expect(hold.says("semq: q: next in line; held by "))
        #expect(hold.out == "")
        holder.stop()
        #expect(hold.wait().status == .exited(0))
        #expect(hold.out.hasPrefix("acquired q ticket=2 "))
    }

    @Test func aTurnThatSomebodyEndsIs76WithTheReason() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("input")
        let hold = try sandbox.startingShell("exec semq acquire q <> input")
        #expect(Event.happens { hold.out.hasSuffix("\n") })
        #expect(try sandbox.semq("release", "q", "--ticket", "1", "--reason", "lunch is over").status == .exited(0))
        #expect(hold.wait().status == .exited(76))
        #expect(hold.err.contains(" has ended this turn: lunch is over\n"))
        #expect(try sandbox.isFree("q"))
    }

    @Test func severalAreSaidALineForEach() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "--all", "b", "a", "c")
        #expect(result.out.split(separator: "\n").map { $0.split(separator: " ")[1] } == ["b", "a", "c"])
    }

    @Test func onATerminalCtrlDEndsItAndCtrlZStopsIt() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire q")
        #expect(bash.sees("acquired q ") && bash.sees("semq: held until Ctrl-D, the end of standard input\r\n"))
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        #expect(bash.sees("% "))
        #expect(try !sandbox.isFree("q"))
        bash.line("fg")
        #expect(bash.sees("semq acquire"))
        bash.type(Pty.endOfInput)
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 0"))
        #expect(try sandbox.isFree("q"))
    }

    /// Ctrl-D is the shell's then, and whoever reads what is typed is stopped and heeds no SIGTERM.
    @Test(arguments: ["kill", "fg"]) func inTheBackgroundTheWaysOutThatAreSaidAreOnes(_ way: String) throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire q &")
        #expect(bash.sees("semq: held in the background: kill "))
        #expect(bash.sees(" ends it, or fg and then Ctrl-D\r\n"))
        let semq = try #require(sandbox.view("q")?.holders.first?.pid)
        for number in 1...3 {
            bash.line("echo said $((\(number) + 4))")
            #expect(bash.sees("said \(number + 4)"))
        }
        #expect(try !sandbox.isFree("q"))
        if way == "kill" {
            bash.line("kill \(semq); wait \(semq); echo code $?")
            #expect(bash.sees("code 143"))
        } else {
            bash.line("fg")
            #expect(bash.sees("semq acquire q"))
            bash.type(Pty.endOfInput)
            #expect(bash.sees("% "))
            bash.line("echo code $?")
            #expect(bash.sees("code 0"))
        }
        #expect(try sandbox.isFree("q"))
    }
}
