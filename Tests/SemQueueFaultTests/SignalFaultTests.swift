import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Signals that meet `semq` or its guardian at a bad moment.
@Suite struct SignalFaultTests {
    /// The numbers that a command writes down: its own, and its parent's.
    private func pids(_ sandbox: Sandbox) throws -> (command: pid_t, guardian: pid_t) {
        try #require(Event.happens { sandbox.lines("pid").count == 1 })
        let pids = sandbox.lines("pid")[0].split(separator: " ").compactMap { pid_t($0) }
        return (pids[0], pids[1])
    }

    /// Injects into the system calls of a process that runs.
    private func strace(_ pid: pid_t, _ sandbox: Sandbox, _ call: String, _ injection: String) throws -> Running {
        let strace = try sandbox.start([
            "strace", "-qq", "-o", "trace", "-p", "\(pid)", "-e", "trace=\(call)", "-e", "inject=\(call):\(injection)",
        ])
        try #require(Event.happens { Machine.isTraced(pid) })
        return strace
    }

    // MARK: stops

    /// As Ctrl-Z at the instant of the grant, which comes to the command as it takes its signal mask back.
    @Test(arguments: [SIGSTOP, SIGTSTP]) func semqStopsWithACommandThatIsStoppedBeforeItsStart(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let waiter = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", "exit 7")
        try #require(Event.happens { Processes.guardian(of: waiter.pid).map(Processes.children)?.count == 1 })
        let command = try #require(Processes.guardian(of: waiter.pid).flatMap { Processes.children(of: $0).first })
        kill(command, signal)
        if signal == SIGSTOP { #expect(Event.happens { Processes.isStopped(command) }) }
        holder.send(SIGTERM)
        holder.wait()
        #expect(Event.happens { Processes.isStopped(command) && Processes.isStopped(waiter.pid) })
        waiter.send(SIGCONT)
        #expect(Event.happens { waiter.hasEnded })
        if !waiter.hasEnded { kill(command, SIGKILL) }
        #expect(waiter.wait().status == .exited(7))
    }

    /// It goes on, and stops again, while the guardian tells `semq` of its first stop.
    @Test func aSecondStopIsToldAsTheFirstOne() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let script = "echo $$ $PPID > pid; until [ -e go ]; do sleep 0.02; done; exit 7"
        let holder = try sandbox.startingShell(
            "set -m; semq acquire -q board.queue -- bash -c '\(script)' & wait -f $!; echo $? > code")
        let (command, guardian) = try pids(sandbox)
        let group = getpgid(command)
        let strace = try strace(guardian, sandbox, "kill", "delay_exit=2000000:when=1")
        kill(command, SIGTSTP)
        #expect(Event.happens { Processes.isStopped(group) })
        kill(-group, SIGCONT)
        #expect(Event.happens { !Processes.isStopped(group) && !Processes.isStopped(command) })
        kill(command, SIGTSTP)
        #expect(Event.happens { Processes.isStopped(command) })
        #expect(Event.happens { Processes.isStopped(group) }, "\(sandbox.read("trace"))")
        kill(-group, SIGCONT)
        try sandbox.write("go", "")
        #expect(Event.happens { holder.hasEnded })
        if !holder.hasEnded { kill(-group, SIGKILL) }
        _ = holder.wait()
        _ = strace.wait()
        #expect(sandbox.lines("code") == ["7"])
    }

    /// The guardian has learnt of the stop, which the kernel tells once, and told nobody.
    @Test func aStopIsKnownWhenTheGuardianIsKilledOverIt() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let script = "echo $$ $PPID > pid; until [ -e go ]; do sleep 0.02; done; exit 7"
        let holder = try sandbox.startingShell(
            "set -m; semq acquire -q board.queue -- bash -c '\(script)' & wait -f $!; echo $? > code")
        let (command, guardian) = try pids(sandbox)
        let group = getpgid(command)
        let strace = try strace(guardian, sandbox, "kill", "signal=KILL:when=1")
        kill(-group, SIGTSTP)
        #expect(
            Event.happens { Processes.isStopped(command) && Processes.isStopped(group) }, "\(sandbox.read("trace"))")
        #expect(!Processes.isAlive(guardian))
        kill(-group, SIGCONT)
        try sandbox.write("go", "")
        #expect(Event.happens { holder.hasEnded })
        if !holder.hasEnded { kill(-group, SIGKILL) }
        _ = holder.wait()
        _ = strace.wait()
        #expect(sandbox.lines("code") == ["7"])
    }

    // MARK: Ctrl-C

    /// A command at a terminal that starts a daemon and ends at Ctrl-C, before `semq` has got to hear of that.
    private func interrupted(
        _ sandbox: Sandbox, guardianIsKilled: Bool, _ interrupt: (_ semq: pid_t, Pty) throws -> Running
    ) throws {
        try sandbox.write(
            "job",
            """
            #!/bin/sh
            setsid sh -c 'echo $$ > daemon; exec sleep 300' < /dev/null > /dev/null 2>&1 &
            until [ -s daemon ]; do sleep 0.01; done
            echo $$ $PPID > pid
            exec sleep 60
            """, executable: true)
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q board.queue -- ./job")
        let (command, guardian) = try pids(sandbox)
        let semq = getpgid(command)
        let daemon = try #require(pid_t(sandbox.lines("daemon")[0]))
        defer { kill(daemon, SIGKILL) }
        if guardianIsKilled {
            kill(guardian, SIGKILL)
            #expect(Event.happens { Processes.children(of: semq).contains(command) })
        }
        let strace = try interrupt(semq, bash)
        #expect(bash.sees("% "))
        _ = strace.wait()
        #expect(Machine.state(of: daemon) == "S", "it lives on: \(sandbox.read("trace"))")
        bash.line("echo code $?")
        #expect(bash.sees("code 130"))
    }

    @Test func ctrlCThatEndsTheCommandIsNotForItsDaemons() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        try interrupted(sandbox, guardianIsKilled: false) { semq, bash in
            let strace = try strace(semq, sandbox, "rt_sigtimedwait", "delay_exit=500000")
            bash.type(Pty.interrupt)
            return strace
        }
    }

    @Test func ctrlCThatEndsTheCommandIsNotForItsDaemonsAfterATakeOver() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        try interrupted(sandbox, guardianIsKilled: true) { semq, bash in
            let strace = try strace(semq, sandbox, "waitid", "delay_enter=1000000")
            #expect(Event.happens { sandbox.read("trace").contains("waitid(") })
            // Once it has been taken, `semq` is on its way into waitid(2).
            kill(semq, SIGCHLD)
            #expect(Event.happens { !Processes.isPending(SIGCHLD, for: semq) })
            bash.type(Pty.interrupt)
            return strace
        }
    }

    // MARK: without /proc

    /// Then nobody knows whether somebody is there who could continue it.
    @Test func aBackgroundJobThatReadsTheTerminalStopsWithoutProc() throws {
        guard Machine.has(.root, .program("unshare", package: "util-linux")) else { return }
        let sandbox = try Sandbox()
        let bash = try Pty(
            [
                "/usr/bin/unshare", "--mount", "sh", "-c",
                "umount -l /proc && exec bash --norc --noprofile --noediting -i",
            ], in: sandbox)
        #expect(bash.sees("% "))
        bash.line("semq acquire -q board.queue -- sh -c 'read line; echo got $line' &")
        #expect(bash.sees("% "))
        #expect(
            Event.happens {
                bash.line("")
                return bash.text.contains("Stopped")
            })
        // The guardian looks each second; there is nothing to see where it does nothing.
        usleep(2_500_000)
        bash.line("fg")
        #expect(bash.sees("semq acquire"))
        bash.line("hello")
        #expect(bash.sees("got hello"), "\(bash.everything)")
    }

    // MARK: take-over

    /// A SIGCONT takes a stop back that waits for the guardian to take it, and the other way round.
    @Test(arguments: [[SIGTSTP, SIGCONT], [SIGCONT, SIGTSTP]])
    func whatWasTakenBackIsNotPassedOnInThePlaceOfAKilledGuardian(_ signals: [Int32]) throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let traps = "for signal in \(SIGUSR1) \(SIGCONT) \(SIGTSTP); do trap \"echo $signal >> log\" $signal; done"
        let script = "\(traps); echo $$ $PPID > pid; until [ -e go ]; do sleep 0.02; done; exit 7"
        let semq = try sandbox.starting("acquire", "-q", "board.queue", "--", "bash", "-c", script)
        let (command, guardian) = try pids(sandbox)
        let strace = try strace(guardian, sandbox, "rt_sigtimedwait", "delay_exit=2000000")
        // Of the call that it was attached in strace sees the end only.
        #expect(Event.happens { sandbox.read("trace").contains("rt_sigtimedwait(") })
        // Once it has been taken, nothing else is for two seconds.
        kill(guardian, SIGCHLD)
        #expect(Event.happens { !Processes.isPending(SIGCHLD, for: guardian) })
        for signal in signals {
            semq.send(signal)
            #expect(Event.happens { Processes.isPending(signal, for: guardian) })
        }
        #expect(!Processes.isPending(signals[0], for: guardian))
        #expect(Event.happens { sandbox.lines("log") == ["\(signals[1])"] })
        kill(guardian, SIGKILL)
        #expect(Event.happens { Processes.children(of: semq.pid).contains(command) })
        // What comes to `semq` now is passed on after what the guardian has left.
        semq.send(SIGUSR1)
        #expect(Event.happens { sandbox.lines("log").contains("\(SIGUSR1)") })
        #expect(sandbox.lines("log") == ["\(signals[1])", "\(SIGUSR1)"])
        try sandbox.write("go", "")
        #expect(semq.wait().status == .exited(7))
        _ = strace.wait()
    }

    @Test(arguments: [SIGTSTP, SIGTTIN]) func aCommandThatIsStoppedAloneGoesOnAloneAfterATakeOver(_ signal: Int32)
        throws
    {
        let sandbox = try Sandbox()
        let script = "trap : USR1 USR2; echo $$ $PPID > pid; until [ -e go ]; do sleep 0.02; done; exit 7"
        let semq = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", script)
        let (command, guardian) = try pids(sandbox)
        kill(guardian, SIGKILL)
        #expect(Event.happens { Processes.children(of: semq.pid).contains(command) })
        kill(command, signal)
        #expect(Event.happens { Processes.isStopped(command) })
        // It looks at what has become of the command before it takes each of these, and they come one by one.
        for signal in [SIGUSR1, SIGUSR2] {
            semq.send(signal)
            #expect(Event.happens { Processes.isPending(signal, for: command) })
        }
        #expect(!Processes.isStopped(semq.pid))
        kill(command, SIGCONT)
        try sandbox.write("go", "")
        #expect(Event.happens { semq.hasEnded })
        if !semq.hasEnded { semq.send(SIGCONT) }
        #expect(semq.wait().status == .exited(7))
    }

    /// By a key, and by kill(1).
    @Test(arguments: [true, false]) func aJobStopsAndGoesOnAfterATakeOver(byKey: Bool) throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q board.queue -- sh -c 'echo $$ $PPID > pid; read line; echo got $line; exit 7'")
        let (command, guardian) = try pids(sandbox)
        let semq = getpgid(command)
        kill(guardian, SIGKILL)
        #expect(Event.happens { Processes.children(of: semq).contains(command) })
        for _ in 0..<3 {
            if byKey { bash.type(Pty.suspend) } else { kill(semq, SIGTSTP) }
            #expect(bash.sees("Stopped"))
            #expect(bash.sees("% "))
            #expect(Processes.isStopped(command) && Processes.isStopped(semq))
            bash.line("fg")
            #expect(bash.sees("semq acquire"))
            #expect(Event.happens { Processes.isInForeground(command) && Processes.isInForeground(semq) })
        }
        bash.line("hello")
        #expect(bash.sees("got hello"))
        bash.line("echo code $?")
        #expect(bash.sees("code 7"))
    }

    /// The guardian that had passed it on to the command is dead when that ends.
    @Test func aHangUpIsForWhatTheCommandLeavesAfterATakeOver() throws {
        let sandbox = try Sandbox()
        let script = """
            trap 'echo hung up >> log' HUP
            sleep 300 &
            echo $! > child
            echo $$ $PPID > pid
            until [ -e go ]; do sleep 0.02; done
            exit 7
            """
        let semq = try sandbox.starting("acquire", "-q", "board.queue", "--", "bash", "-c", script)
        let (command, guardian) = try pids(sandbox)
        let child = try #require(pid_t(sandbox.lines("child")[0]))
        semq.send(SIGHUP)
        #expect(Event.happens { sandbox.lines("log") == ["hung up"] })
        kill(guardian, SIGKILL)
        #expect(Event.happens { Processes.children(of: semq.pid).contains(command) })
        try sandbox.write("go", "")
        #expect(Event.happens { semq.hasEnded })
        #expect(!Processes.isAlive(child))
        kill(child, SIGKILL)
        #expect(semq.wait().status == .exited(7))
    }
}
