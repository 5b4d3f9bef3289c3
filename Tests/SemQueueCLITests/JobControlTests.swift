import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Ctrl-C, Ctrl-Z, `fg` and `&`, by a real bash: job control is the shell's, as without `semq`.
@Suite struct JobControlTests {
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
        bash.line("semq acquire -q q -- sh -c 'echo $$ > pid; echo ready; read line; echo got $line; exit 3'")
        #expect(bash.sees("ready"))
        let command = try sandbox.pid(in: "pid")
        for _ in 0..<3 {
            bash.type(Pty.suspend)
            #expect(bash.sees("Stopped"))
            #expect(bash.sees("% "))
            #expect(try !sandbox.isFree("q"), "a stopped command keeps what it holds")
            bash.line("fg")
            #expect(bash.sees("semq acquire"))
            #expect(Event.happens { Processes.isInForeground(command) })
        }
        bash.line("hello")
        #expect(bash.sees("got hello"))
        #expect(bash.sees("% "))
        bash.line("echo code $?")
        #expect(bash.sees("code 3"))
        #expect(try sandbox.isFree("q"))
    }

    /// Stopped or not.
    @Test func sigcontReachesTheCommand() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let semq = try sandbox.starting(
            "acquire", "-q", "q", "--", "bash", "-c",
            "trap 'echo on >> log' CONT; echo $$ > pid; until read x < go; do :; done")
        let command = try sandbox.pid(in: "pid")
        semq.send(SIGCONT)
        #expect(Event.happens { sandbox.lines("log") == ["on"] })
        kill(command, SIGSTOP)
        #expect(Event.happens { Processes.isStopped(semq.pid) })
        semq.send(SIGCONT)
        #expect(Event.happens { sandbox.lines("log") == ["on", "on"] })
        // Together with the guardian's, which says that the command goes on, it would be one and the same.
        #expect(
            Event.happens {
                semq.send(SIGCONT)
                return sandbox.lines("log").count > 2
            })
        try sandbox.open("go")
        #expect(semq.wait().status == .exited(0))
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

    /// The shell has the terminal back and knows of no job: nobody could continue what reads on there.
    @Test func aCommandThatReadsTheTerminalEndsWhenSemqIsKilled() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q q -- sh -c 'echo $$ > pid; echo ready; read x; read y; echo $y'")
        #expect(bash.sees("ready"))
        let command = try sandbox.pid(in: "pid")
        let semq = try #require(sandbox.view("q")?.holders.first?.pid)
        kill(semq, SIGKILL)
        #expect(bash.sees("Killed"))
        // A line may still be the command's, which was about to read it.
        bash.line("true")
        bash.line("true")
        #expect(Event.happens { !Processes.isAlive(command) })
        #expect(sandbox.queue("q") { $0.holders.isEmpty })
        bash.line("echo mine")
        #expect(bash.sees("mine"))
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
}
