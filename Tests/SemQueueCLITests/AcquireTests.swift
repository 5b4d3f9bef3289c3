import Glibc
import SemQueueTestSupport
import Testing

/// `semq acquire` in good order.
@Suite struct AcquireTests {
    @Test func commandRunsUnderThePermitAndItsExitCodeIsOurs() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "board.queue", "--", "sh", "-c", "echo $SEMQ_SEMAPHORE $SEMQ_TICKET $SEMQ_SLOT; exit 7")
        #expect(result == .init(status: .exited(7), out: "board.queue 1 0\n", err: ""))
    }

    @Test func deathBySignalIsPassedOn() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "board.queue", "--", "sh", "-c", "kill -USR1 $$")
        #expect(result.status == .signaled(SIGUSR1))
    }

    @Test func nonblockFindsTheQueueBusyAndSaysWhoHolds() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-m", "flashing", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("flashing")) == true })
        let result = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(result.status == .exited(75))
        #expect(result.err.contains("board.queue: busy: held by "))
        #expect(result.err.contains(": flashing\n"))
        holder.send(SIGTERM)
        #expect(holder.wait().status == .signaled(SIGTERM))
        #expect(try sandbox.semq("acquire", "-n", "board.queue", "--", "true").status == .exited(0))
    }
}
