import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// This `semq` and one of an earlier commit on one queue.
@Suite struct CompatibilityTests {
    private let sandbox: Sandbox
    private let old: String

    init() throws {
        sandbox = try Sandbox()
        old = try Sandbox.oldBinary()
    }

    /// Who was there first.
    enum First: CaseIterable { case old, new }

    private func programs(_ first: First) -> (first: String, second: String) {
        first == .old ? (old, Sandbox.binary) : (Sandbox.binary, old)
    }

    private func holding(_ semq: String, _ options: [String] = []) throws -> Running {
        let words = [semq, "acquire", "-m", "holder"] + options + ["q", "--", "sh", "-c", "echo in; exec sleep 1000"]
        let running = try sandbox.start(words)
        try #require(Event.happens { running.out == "in\n" }, "\(running.err)")
        return running
    }

    private func waiting(_ semq: String, _ words: [String] = ["sh", "-c", "echo in $SEMQ_TOKEN"]) throws -> Running {
        let running = try sandbox.start([semq, "acquire", "-m", "waiter", "q", "--"] + words)
        try #require(Event.happens { running.err.contains("next in line; held by ") }, "\(running.err)")
        return running
    }

    private func run(_ words: String...) throws -> Sandbox.Result { try sandbox.start(words).wait() }

    // MARK: turns

    enum End: CaseIterable { case ends, killed }

    @Test(arguments: First.allCases, End.allCases) func oneAfterTheOther(_ first: First, _ end: End) throws {
        let (one, other) = programs(first)
        let holder = try holding(one)
        let next = try waiting(other)
        #expect(try run(other, "acquire", "-q", "-n", "q", "--", "true").status == .exited(75))
        #expect(!next.hasEnded)
        if end == .ends {
            kill(holder.pid, SIGTERM)
        } else {
            // With its command, which stands in its group.
            kill(-holder.pid, SIGKILL)
        }
        let result = next.wait()
        #expect(result.status == .exited(0) && result.out.hasPrefix("in "), "\(result)")
        #expect(holder.wait().status == .signaled(end == .ends ? SIGTERM : SIGKILL))
        #expect(try run(one, "status", "q").out == "q: free, nobody waits\n")
    }

    /// In the order of their tickets, one at a time, with tokens that rise.
    @Test func aMixedCrowd() throws {
        let oracle = try Oracle(sandbox)
        let holder = try holding(old)
        var crowd: [Running] = []
        for number in 1...8 {
            crowd.append(
                try sandbox.start(
                    [number % 2 == 0 ? old : Sandbox.binary, "acquire", "-q", "q", "--"] + oracle.words + ["\(number)"])
            )
            #expect(Event.happens { (try? run(old, "status", "q").out.contains("held, \(number) waiting")) == true })
        }
        kill(holder.pid, SIGTERM)
        for running in crowd { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(oracle.complaint == nil, "\(oracle.complaint ?? "")")
        #expect(oracle.names == (1...8).map(String.init))
    }

    /// A command of the one that uses the other runs under the permit that is held already.
    @Test(arguments: First.allCases) func nested(_ first: First) throws {
        let (outer, inner) = programs(first)
        let result = try run(
            outer, "acquire", "-q", "q", "--", inner, "acquire", "-q", "-w", "10", "q", "--", "echo", "in")
        #expect(result == .init(status: .exited(0), out: "in\n", err: ""))
    }

    // MARK: the queue

    /// Both tell the same of both.
    @Test(arguments: First.allCases) func status(_ first: First) throws {
        let (one, other) = programs(first)
        let holder = try holding(one)
        let next = try waiting(other)
        for semq in [one, other] {
            let text = try run(semq, "status", "q").out
            #expect(
                text.contains(/q: held, 1 waiting\n(.*\n)  slot 0  1 .* holder\n  1\.  .* 2 .* waiter\n/), "\(text)")
            #expect(try run(semq, "doctor", "q").status == .exited(0))
        }
        for running in [holder, next] { kill(running.pid, SIGTERM) }
        for running in [holder, next] { _ = running.wait() }
        let events = try [one, other].map { try run($0, "history", "q") }
        #expect(events[0] == events[1] && events[0].out.contains("holder"))
    }

    @Test(arguments: First.allCases) func setAndPause(_ first: First) throws {
        let (one, other) = programs(first)
        let holder = try holding(one)
        let next = try waiting(one)
        #expect(try run(other, "set", "q", "--concurrency", "2").status == .exited(0))
        #expect(next.wait().status == .exited(0), "\(next.err)")
        #expect(try run(other, "set", "q", "--pause", "lunch").status == .exited(0))
        let paused = try run(one, "acquire", "-n", "q", "--", "true")
        #expect(paused.status == .exited(75) && paused.err.contains("lunch"), "\(paused)")
        #expect(try run(one, "set", "q", "--resume").status == .exited(0))
        #expect(try run(other, "acquire", "-q", "-n", "q", "--", "true").status == .exited(0))
        kill(holder.pid, SIGTERM)
        _ = holder.wait()
    }

    /// Of a holder, and of a waiter.
    @Test(arguments: First.allCases) func release(_ first: First) throws {
        let (one, other) = programs(first)
        let holder = try holding(one)
        let next = try waiting(one)
        for (ticket, running) in [(2, next), (1, holder)] {
            let words = ["release", "q", "--ticket", "\(ticket)", "--reason", "fire drill", "--grace", "1"]
            let told = try sandbox.start([other] + words).wait()
            #expect(told.status == .exited(0), "\(told)")
            let result = running.wait()
            #expect(result.status == .exited(76) && result.err.contains("fire drill"), "\(result)")
        }
    }

    /// Its header is wiped while one holds and the other waits: the other mends it, and nobody is let in beside the one.
    @Test(arguments: First.allCases) func recovery(_ first: First) throws {
        let (one, other) = programs(first)
        let holder = try holding(one)
        let file = open(sandbox.path("q"), O_WRONLY)
        let zeroes = [UInt8](repeating: 0, count: 1024)
        #expect(pwrite(file, zeroes, zeroes.count, 0) == zeroes.count)
        close(file)
        #expect(try run(other, "acquire", "-q", "-n", "q", "--", "true").status == .exited(75))
        let next = try waiting(other)
        #expect(try run(one, "acquire", "-q", "-n", "q", "--", "true").status == .exited(75))
        #expect(!next.hasEnded)
        kill(holder.pid, SIGTERM)
        #expect(next.wait().status == .exited(0), "\(next.err)")
        #expect(holder.wait().status == .signaled(SIGTERM))
    }
}
