import Glibc
import SemQueueTestSupport
import Testing

@testable import SemQueue

/// No timers are to be had (`ulimit -i 0`), by which a lock that is waited for could be left again: it is had when it
/// is free all the same, and the limit of time holds.
@Suite struct TimerTests {
    private let sandbox: Sandbox
    private let other: Description

    init() throws {
        sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        other = try QueueFile.open(sandbox.path("board.queue"), .init(create: false)).1
    }

    private func starting(_ arguments: String) throws -> Running {
        try sandbox.startingShell("ulimit -i 0; exec \(Sandbox.binary) acquire \(arguments)")
    }

    private func waits(_ running: Running) -> Bool {
        Event.happens { Processes.name(running.pid) == "semq" && Machine.state(of: running.pid) == "S" }
    }

    @Test func theMutexIsHadWhenItIsFree() throws {
        try #require(other.tryLock(.write, LockSpace.mutex))
        let waiter = try starting("-w 10 board.queue -- true")
        #expect(waits(waiter))
        other.unlock(LockSpace.mutex)
        let result = waiter.wait()
        #expect(result.status == .exited(0), "\(result.err)")
    }

    @Test(arguments: [1, 2]) func theSlotIsHadWhenItIsFree(_ concurrency: Int) throws {
        _ = try sandbox.semq("set", "board.queue", "--concurrency", "\(concurrency)")
        for slot in 0..<concurrency { try #require(other.tryLock(.write, LockSpace.holdAndDoorbell(slot))) }
        let waiters = try (1...3).map { _ in try starting("-w 30 board.queue -- true") }
        #expect(
            Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("3 waiting")) == true })
        other.unlockAll()
        for waiter in waiters { #expect(waiter.wait().status == .exited(0), "\(waiter.err)") }
    }

    @Test func theLimitOfTimeHolds() throws {
        try #require(other.tryLock(.write, LockSpace.holdAndDoorbell(0)))
        let waiter = try starting("-w 1 board.queue -- true")
        #expect(waiter.wait().status == .exited(75))
    }
}
