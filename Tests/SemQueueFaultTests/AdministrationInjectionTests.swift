import Foundation
import Glibc
import SemQueue
import SemQueueTestSupport
import Testing

/// SIGKILL and SIGSTOP at each system call of `semq release` and `semq set`: what they change is changed or it isn't,
/// others can do the same meanwhile, and the queue goes on. One that stands still in the few calls under the queue's
/// mutex is named to them, and holds them up until SIGCONT.
@Suite(.serialized) struct AdministrationInjectionTests {
    private struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// How a second one fared that did the same while the first was dead or stood still.
    private enum Effect {
        case passed
        case underMutex
    }

    /// A program of which one call is hit.
    private struct Victim {
        let sandbox: Sandbox
        let running: Running

        init(_ sandbox: Sandbox, _ inject: [String], _ arguments: [String]) throws {
            self.sandbox = sandbox
            running = try sandbox.start(inject + arguments)
            guard Event.happens({ [running] in running.hasEnded || Self.hit(sandbox).map(Self.stands) == true }) else {
                throw Failure(description: "it neither ends nor is hit: \(running.err)")
            }
        }

        private static func hit(_ sandbox: Sandbox) -> pid_t? {
            sandbox.lines("report").first { $0.hasPrefix("hit ") }.flatMap { pid_t($0.split(separator: " ")[1]) }
        }

        private static func stands(_ pid: pid_t) -> Bool { Machine.state(of: pid) == "T" }

        /// Does something that needs the queue while the victim stands still, if it does.
        /// - Returns: its end, and whether the victim held it up and had to go on first.
        func meanwhile(_ arguments: [String]) throws -> (Sandbox.Result, Effect) {
            let result = try sandbox.start([Sandbox.binary] + arguments).wait()
            guard result.err.contains("stands still with the queue's mutex") else { return (result, .passed) }
            guard let pid = Self.hit(sandbox), result.err.contains("process \(pid) (semq, stopped)"),
                result.status == .exited(74)
            else { throw Failure(description: "the one in the way is not named: \(result)") }
            goOn()
            return (try sandbox.start([Sandbox.binary] + arguments).wait(), .underMutex)
        }

        func goOn() { if let pid = Self.hit(sandbox), Self.stands(pid) { kill(pid, SIGCONT) } }

        /// - Returns: its standard error once it has ended, and whether it ended of itself.
        func end() -> (err: String, isUnhurt: Bool) {
            goOn()
            let result = running.wait()
            return (result.err, sandbox.lines("report").contains { $0.hasPrefix("end exited") })
        }
    }

    /// Lets the call number rise until it is past the last call.
    private func sweep(
        _ name: String, _ signal: Int32, _ body: @escaping @Sendable (Sandbox, [String]) throws -> Effect
    ) throws {
        let injector = try Machine.built("SemQueueInjector")
        let tally = Parallel.untilNil(width: 12) { number -> Effect? in
            // Beyond that `release` only looks, again and again, whether the holder has gone.
            guard number <= 160 else { return nil }
            let sandbox = try Sandbox()
            _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
            do {
                let effect = try body(
                    sandbox, [injector, "0", "\(number)", "\(signal)", sandbox.path("report"), Sandbox.binary])
                guard Event.happens({ (try? QueueStatus(path: sandbox.path("board.queue")).holders.isEmpty) == true })
                else {
                    throw Failure(description: "something stays behind")
                }
                let after = try sandbox.semq("acquire", "-n", "-q", "board.queue", "--", "true")
                guard after.status == .exited(0) else {
                    throw Failure(description: "the queue does not go on: \(after)")
                }
                return sandbox.read("report").hasPrefix("hit") ? effect : nil
            } catch {
                throw Failure(description: "call \(number) of \(name): \(error); \(sandbox.read("report"))")
            }
        }
        for failure in tally.failures { Issue.record("\(failure)") }
        #expect(tally.results.count > 30)
        let held = tally.results.count { $0 == .underMutex }
        // Only the handful of calls under the mutex may hold others up; the dead hold up nobody.
        #expect(signal == SIGSTOP ? (1...30).contains(held) : held == 0, "\(held) held others up")
        print(
            "\(tally.results.count) injections of \(signal == SIGKILL ? "SIGKILL" : "SIGSTOP") into semq \(name), "
                + "\(held) of them under the mutex")
    }

    /// Whoever was told to go goes; where nobody was told, it can be told again.
    @Test(arguments: [SIGKILL, SIGSTOP]) func releaseOfAHolder(_ signal: Int32) throws {
        try sweep("release", signal) { sandbox, inject in
            let path = sandbox.path("board.queue")
            let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
            guard Event.happens({ (try? QueueStatus(path: path).holders.first?.ticket.number) ?? 0 > 1 }) else {
                throw Failure(description: "nobody holds: \(holder.err)")
            }
            let ticket = try QueueStatus(path: path).holders[0].ticket.number
            let release = ["release", "board.queue", "--ticket", "\(ticket)", "--reason", "tidying up", "--grace", "1"]
            let victim = try Victim(sandbox, inject, release)
            let (again, effect) = try victim.meanwhile(release)
            let gone = "no ticket \(ticket) waits or holds here"
            // Gone already, or ended now.
            guard again.status == .exited(0) || again.err.contains(gone) else {
                throw Failure(description: "it can't be released again: \(again)")
            }
            guard holder.wait().status == .exited(76), holder.err.contains("tidying up") else {
                throw Failure(description: "the holder ended as \(holder.wait())")
            }
            let end = victim.end()
            guard signal == SIGKILL || end.isUnhurt else { throw Failure(description: "it does not go on: \(end.err)") }
            return effect
        }
    }

    @Test(arguments: [SIGKILL, SIGSTOP]) func changeOfTheConcurrency(_ signal: Int32) throws {
        try sweep("set", signal) { sandbox, inject in
            let victim = try Victim(sandbox, inject, ["set", "board.queue", "--concurrency", "3"])
            let status = try QueueStatus(path: sandbox.path("board.queue"))
            guard [1, 3].contains(status.concurrency), !status.isRecovered, status.paused == nil else {
                throw Failure(description: "the header is \(status)")
            }
            let (other, effect) = try victim.meanwhile(["set", "board.queue", "--pause", "a new cable"])
            guard other.status == .exited(0) else { throw Failure(description: "nobody else can set it: \(other)") }
            let end = victim.end()
            // What one has changed, the other has not undone.
            let after = try QueueStatus(path: sandbox.path("board.queue"))
            guard after.paused?.reason == "a new cable", [1, 3].contains(after.concurrency) else {
                throw Failure(description: "the header is \(after) afterwards")
            }
            guard signal == SIGKILL || end.isUnhurt && after.concurrency == 3 else {
                throw Failure(description: "it does not go on: \(end.err), \(after)")
            }
            guard try sandbox.semq("set", "board.queue", "--resume").status == .exited(0) else {
                throw Failure(description: "it can't be resumed")
            }
            return effect
        }
    }
}
