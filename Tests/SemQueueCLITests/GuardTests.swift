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
        #expect(try !sandbox.semq("status", "--json", "q").out.contains("orphaned"), "its guardian is there")
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

    /// Nobody could tell a `semq` that stood still with its command when that goes on.
    @Test func aCommandIsStoppedAndGoesOnWhenTheGuardianWasKilled() throws {
        let sandbox = try Sandbox()
        let (semq, guardian, command) = try working(sandbox)
        kill(guardian, SIGKILL)
        #expect(Event.happens { Processes.children(of: semq.pid).contains(command) })
        kill(command, SIGSTOP)
        let stands = Event.happens(within: 1) { Processes.isStopped(semq.pid) }
        #expect(!stands && Processes.isStopped(command))
        kill(command, SIGCONT)
        try sandbox.open("go")
        #expect(semq.wait().status == .exited(3))
        #expect(try sandbox.isFree("q"))
    }

    /// Whether `semq` still hands it to the guardian, or has learnt of its end, is a matter of microseconds.
    @Test(arguments: 0..<40) func aSignalAsTheGuardianIsKilledReachesTheCommand(_ round: Int) throws {
        let sandbox = try Sandbox()
        let (semq, guardian, command) = try working(sandbox)
        if round.isMultiple(of: 2) { semq.send(SIGTERM) }
        kill(guardian, SIGKILL)
        if !round.isMultiple(of: 2) { semq.send(SIGTERM) }
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
        // People see it, and what they can do about it.
        #expect(try sandbox.semq("status", "q").out.contains("\n  slot 0, orphaned  1  "))
        #expect(try sandbox.semq("status", "--json", "q").out.contains(#""stopped": false, "orphaned": true}]"#))
        let diagnosis = try sandbox.semq("doctor", "q").out
        let sentence =
            "the semq that held it and its guardian are dead; it is free when process \(command) (bash), which they have left, "
            + "ends or is ended\n"
        #expect(diagnosis.contains("\nnote  slot 0       \(sentence)"), "\(diagnosis)")
        let release = try sandbox.semq("release", "q", "--ticket", "1", "--reason", "x")
        #expect(release.status == .exited(74))
        #expect(release.err.contains(" (pid \(semq.pid)) and its guardian are dead, and nobody is left to be told; "))
        let waiter = try sandbox.waiting("q", as: "next")
        try sandbox.open("go")
        #expect(waiter.wait().status == .exited(0))
        #expect(!Processes.isAlive(command))
        #expect(try !sandbox.semq("history", "q").out.contains("removed"))
    }

    /// It would keep the place, and those behind would wait for somebody who is dead.
    @Test func aCommandToBeThatStandsStillEndsWithItsSemq() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let waiter = try sandbox.waiting("q", as: "next")
        var command: pid_t?
        try #require(
            Event.happens {
                command = Processes.guardian(of: waiter.pid).flatMap { Processes.children(of: $0).first }
                return command != nil
            }, "nothing was made ready")
        let stopped = try #require(command)
        kill(stopped, SIGSTOP)
        waiter.send(SIGKILL)
        waiter.wait()
        #expect(Event.happens { !Processes.isAlive(stopped) })
        #expect(sandbox.queue("q") { $0.waiting.isEmpty })
        holder.stop()
        #expect(!sandbox.exists("log"))
    }

    /// The permits are one description, which three processes share: a guardian whose command-to-be was killed
    /// must not give back what its successor holds.
    @Test func aCommandKilledBeforeItsStartGivesNobodysPermitAway() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        try sandbox.gate("go")
        let next = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", "echo $$ > pid; read x < go; exit 4")
        #expect(Event.happens { Processes.guardian(of: next.pid).map { !Processes.children(of: $0).isEmpty } ?? false })
        let first = try #require(Processes.guardian(of: next.pid))
        let unstarted = try #require(Processes.children(of: first).first)
        kill(first, SIGSTOP)
        #expect(Event.happens { Processes.isStopped(first) })
        kill(unstarted, SIGKILL)
        #expect(Event.happens { !Processes.isAlive(unstarted) })
        holder.stop()
        let command = try sandbox.pid(in: "pid")
        kill(first, SIGCONT)
        #expect(Event.happens { !Processes.isAlive(first) })
        #expect(Processes.isAlive(command))
        #expect(try !sandbox.isFree("q"))
        try sandbox.open("go")
        #expect(next.wait().status == .exited(4))
        #expect(try sandbox.isFree("q"))
    }

    /// Guardian and command-to-be are made while waiting: those of a file that was replaced have its descriptors.
    @Test func theLockFollowsTheWorkThoughTheFileWasReplacedWhileWaiting() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        try sandbox.gate("go")
        let next = try sandbox.starting("acquire", "-q", "q", "--", "bash", "-c", "echo $$ > pid; read x < go; exit 5")
        #expect(Event.happens { Processes.guardian(of: next.pid) != nil })
        unlink(sandbox.path("q"))
        let command = try sandbox.pid(in: "pid")
        next.send(SIGKILL)
        next.wait()
        #expect(Processes.isAlive(command))
        #expect(try !sandbox.isFree("q"))
        try sandbox.open("go")
        #expect(Event.happens { (try? sandbox.isFree("q")) == true })
        let lost = try sandbox.semq("history", "q").out.split(separator: "\n").filter { $0.contains("  lost  ") }
        #expect(lost.allSatisfy { $0.contains("(the queue file was deleted or replaced)") }, "the holder's alone")
        holder.wait()
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
}
