import Foundation
import Glibc
import SemQueueTestSupport
import Testing

@testable import SemQueue

/// A slot that was claimed while somebody was stopped in front of its doorbell: whoever waits for it next sleeps.
@Suite struct DoorbellTests {
    private let sandbox: Sandbox
    /// In place of those who are stopped just when they have been given their short read lock.
    private let stopped: Description

    init() throws {
        sandbox = try Sandbox()
        _ = try sandbox.semq("set", "board.queue", "--concurrency", "3")
        stopped = try QueueFile.open(sandbox.path("board.queue"), .init(create: false)).1
    }

    private func holding(_ name: String) throws -> Running {
        let line = "touch in-\(name); until [ -e go-\(name) ]; do sleep 0.01; done"
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", line)
        try #require(Event.happens { sandbox.exists("in-\(name)") }, "\(holder.err)")
        return holder
    }

    /// - Parameter concurrency: 1 is a lowered one, where the slots that are held lie beyond it.
    @Test(arguments: [3, 1]) func nobodySpinsInFrontOfIt(_ concurrency: Int) throws {
        for slot in 0..<3 { try #require(stopped.tryLock(.read, LockSpace.doorbell(slot))) }
        let holders = try ["a", "b", "c"].map { try holding($0) }
        if concurrency == 1 {
            _ = try sandbox.semq("set", "board.queue", "--concurrency", "1")
            try sandbox.write("go-a", "")
            try sandbox.write("go-b", "")
            for holder in holders.prefix(2) { #expect(holder.wait().status == .exited(0)) }
        }
        let next = try sandbox.starting("acquire", "-q", "board.queue", "--", "touch", "in")
        try #require(
            Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true })
        // The start and the fork of guardian and command are behind it.
        try #require(
            Event.happens { Processes.guardian(of: next.pid) != nil || !Processes.children(of: next.pid).isEmpty })
        let before = Processes.processorTime(of: next.pid)
        sleep(1)
        let used = Processes.processorTime(of: next.pid) - before
        #expect(used < 0.2, "\(used) s of the processor in one second")
        // Nor does it sleep through the release.
        try sandbox.write("go-c", "")
        let start = Date()
        #expect(next.wait().status == .exited(0))
        #expect(Date().timeIntervalSince(start) < 0.24, "not by its look at the file, each 250 ms")
        try sandbox.write("go-a", "")
        try sandbox.write("go-b", "")
        for holder in holders { #expect(holder.wait().status == .exited(0)) }
    }

    /// Once that one has gone on, the holder has its doorbell, by which older waiters sleep.
    @Test func theHolderTakesItsDoorbellLater() throws {
        try #require(stopped.tryLock(.read, LockSpace.doorbell(0)))
        let holder = try holding("a")
        stopped.unlock(LockSpace.doorbell(0))
        #expect(Event.happens { stopped.conflict(with: .read, in: LockSpace.doorbell(0)) != nil })
        try sandbox.write("go-a", "")
        #expect(holder.wait().status == .exited(0))
        #expect(stopped.conflict(with: .read, in: LockSpace.holdAndDoorbell(0)) == nil)
    }
}
