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
}
