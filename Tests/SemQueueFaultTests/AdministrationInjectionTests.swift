import Foundation
import Glibc
import SemQueue
import SemQueueTestSupport
import Testing

/// SIGKILL at each system call of `semq release` and `semq set`: what they change is changed or it isn't,
/// and the queue goes on.
@Suite(.serialized) struct AdministrationInjectionTests {
    private struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private func sweep(_ name: String, _ body: @escaping @Sendable (Sandbox, [String]) throws -> Void) throws {
        let injector = try Machine.built("SemQueueInjector")
        let tally = Parallel.untilNil(width: 12) { number -> Bool? in
            // Beyond that `release` only looks, again and again, whether the holder has gone.
            guard number <= 160 else { return nil }
            let sandbox = try Sandbox()
            _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
            do {
                try body(sandbox, [injector, "0", "\(number)", "\(SIGKILL)", sandbox.path("report"), Sandbox.binary])
                guard Event.happens({ (try? QueueStatus(path: sandbox.path("board.queue")).holders.isEmpty) == true })
                else {
                    throw Failure(description: "something stays behind")
                }
                let after = try sandbox.semq("acquire", "-n", "-q", "board.queue", "--", "true")
                guard after.status == .exited(0) else {
                    throw Failure(description: "the queue does not go on: \(after)")
                }
            } catch {
                throw Failure(description: "call \(number) of \(name): \(error); \(sandbox.read("report"))")
            }
            return sandbox.read("report").hasPrefix("hit") ? true : nil
        }
        for failure in tally.failures { Issue.record("\(failure)") }
        #expect(tally.results.count > 30)
        print("\(tally.results.count) injections of SIGKILL into semq \(name)")
    }

    /// Whoever was told to go goes; where nobody was told, it can be told again.
    @Test func releaseOfAHolder() throws {
        try sweep("release") { sandbox, inject in
            let path = sandbox.path("board.queue")
            let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
            guard Event.happens({ (try? QueueStatus(path: path).holders.first?.ticket.number) ?? 0 > 1 }) else {
                throw Failure(description: "nobody holds: \(holder.err)")
            }
            let ticket = try QueueStatus(path: path).holders[0].ticket.number
            let release = ["release", "board.queue", "--ticket", "\(ticket)", "--reason", "tidying up", "--grace", "1"]
            _ = try sandbox.start(inject + release).wait()
            let again = try sandbox.start([Sandbox.binary] + release).wait()
            // Gone already, or ended now.
            guard again.status == .exited(0) || again.err.contains("no ticket \(ticket) waits or holds here") else {
                throw Failure(description: "it can't be released again: \(again)")
            }
            guard holder.wait().status == .exited(76), holder.err.contains("tidying up") else {
                throw Failure(description: "the holder ended as \(holder.wait())")
            }
        }
    }

    @Test func changeOfTheConcurrency() throws {
        try sweep("set") { sandbox, inject in
            _ = try sandbox.start(inject + ["set", "board.queue", "--concurrency", "3"]).wait()
            let status = try QueueStatus(path: sandbox.path("board.queue"))
            guard [1, 3].contains(status.concurrency), !status.isRecovered, status.paused == nil else {
                throw Failure(description: "the header is \(status)")
            }
        }
    }
}
