import Foundation
import Glibc
import SemQueue
import SemQueueTestSupport
import Testing

/// SIGKILL and SIGSTOP at each system call of an acquire and its release: whatever process is hit and
/// wherever, nothing is granted twice, nothing stays behind, and the queue goes on.
@Suite(.serialized) struct InjectionTests {
    @Test(arguments: [SIGKILL, SIGSTOP]) func acquireOfAFreeQueue(_ signal: Int32) throws {
        try sweep(signal, isQueued: false)
    }

    @Test(arguments: [SIGKILL, SIGSTOP]) func acquireBehindAHolder(_ signal: Int32) throws {
        try sweep(signal, isQueued: true)
    }

    /// Lets the call number rise for each of the three processes until it is past their last call.
    private func sweep(_ signal: Int32, isQueued: Bool) throws {
        let injector = try Machine.built("SemQueueInjector")
        var made = Injection.Tally()
        for role in Injection.Role.allCases {
            // Those that stand still mostly wait for each other: many at a time.
            let tally = Parallel.untilNil(width: signal == SIGSTOP ? 24 : 6) { number in
                try Injection(injector, role, number: number, signal: signal, isQueued: isQueued).run()
            }
            for failure in tally.failures { Issue.record("\(failure)") }
            #expect(tally.results.count >= 5, "calls of \(role) that were hit")
            made.add(tally.results)
            // Between its grant and the moment when the guardian knows of it, one that stands still keeps its permit.
            #expect(tally.results.count { $0 == .holding } <= Injection.callsHolding, "\(role)")
        }
        let name = signal == SIGKILL ? "SIGKILL" : "SIGSTOP"
        print(
            "\(made.count) injections of \(name) into an acquire \(isQueued ? "behind a holder" : "of a free queue"): \(made)"
        )
        // Only the handful of calls under the mutex may hold everybody up.
        #expect(made.underMutex <= 2 * Injection.callsUnderMutex)
    }
}

/// One acquire that is hit at one of its calls, with another behind it that must get its turn.
struct Injection {
    enum Role: Int, CaseIterable {
        case front, guardian, command
    }

    /// How the others fared.
    enum Effect {
        /// They went on by themselves.
        case passed
        /// It stood still under the mutex; they were told who does, and went on after SIGCONT.
        case underMutex
        /// It stood still with the permit in hand, and they went on after SIGCONT.
        case holding
    }

    struct Tally: CustomStringConvertible {
        private var effects: [Effect] = []
        var count: Int { effects.count }
        var underMutex: Int { effects.count { $0 == .underMutex } }
        mutating func add(_ more: [Effect]) { effects += more }
        var description: String {
            "\(effects.count { $0 == .passed }) passed, \(underMutex) under the mutex, "
                + "\(effects.count { $0 == .holding }) holding"
        }
    }

    static let callsUnderMutex = 60
    static let callsHolding = 30

    private let (injector, role, number, signal, isQueued): (String, Role, Int, Int32, Bool)
    private let sandbox: Sandbox
    private let oracle: Oracle

    init(_ injector: String, _ role: Role, number: Int, signal: Int32, isQueued: Bool) throws {
        (self.injector, self.role, self.number, self.signal, self.isQueued) = (injector, role, number, signal, isQueued)
        sandbox = try Sandbox()
        oracle = try Oracle(sandbox)
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private func fail(_ what: String) -> Failure {
        let name = signal == SIGKILL ? "SIGKILL" : "SIGSTOP"
        return Failure(
            description: "\(name) at call \(number) of the \(role), \(isQueued ? "queued" : "free"): \(what); report: "
                + sandbox.read("report").replacing("\n", with: ", "))
    }

    private var status: QueueStatus? { try? QueueStatus(path: sandbox.path("queue")) }

    /// The process that was hit, once it was.
    private var hit: pid_t? {
        sandbox.lines("report").first { $0.hasPrefix("hit ") }.flatMap { pid_t($0.split(separator: " ")[1]) }
    }

    /// - Returns: nil if there is no such call.
    func run() throws -> Effect? {
        let queue = sandbox.path("queue")
        _ = try sandbox.semq("acquire", "-q", queue, "--", "true")
        var first: Running?
        if isQueued {
            // Waits inside until the file is there.
            first = try start("-q", "first", "go")
            guard Event.happens({ oracle.names == ["first"] }) else {
                throw fail("the first one did not get in: \(first?.err ?? "")")
            }
        }
        let victim = try sandbox.start(
            [injector, "\(role.rawValue)", "\(number)", "\(signal)", sandbox.path("report")]
                + [Sandbox.binary, "acquire", "-q", queue, "--"] + oracle.words + ["victim"])
        guard
            Event.happens({
                hit != nil || status?.waiting.isEmpty == false || oracle.names.contains("victim") || victim.hasEnded
            })
        else { throw fail("the victim neither waits nor was hit") }
        let next = try start("-v", "next")
        var effect = Effect.passed
        if isQueued {
            guard Event.happens({ status?.waiting.contains { $0.party.pid == next.pid } == true || standsStill(next) })
            else {
                throw fail("the next one does not wait: \(next.err)")
            }
            try sandbox.write("go", "")
        }
        // A head of the queue that stands still takes five seconds to pass where it isn't seen to be stopped: traced.
        if signal == SIGSTOP, !Event.happens(within: 20, { next.hasEnded || standsStill(next) || stopsHolding() }) {
            throw fail("the next one does not get in: \(next.err)")
        }
        if signal == SIGSTOP, !next.hasEnded, let hit {
            effect = standsStill(next) ? .underMutex : .holding
            if effect == .underMutex, !next.err.contains("process \(hit) (semq, stopped)") {
                throw fail("the one in the way is not named: \(next.err)")
            }
            kill(hit, SIGCONT)
        }
        guard Event.happens(within: 20, { next.hasEnded }) else {
            throw fail("the next one does not get in: \(next.err)")
        }
        guard next.wait().status == .exited(0) else { throw fail("the next one ended as \(next.wait())") }
        if let hit { kill(hit, SIGCONT) }
        try checkEnd(victim, first)
        return hit == nil ? nil : effect
    }

    private func start(_ option: String, _ arguments: String...) throws -> Running {
        try sandbox.start([Sandbox.binary, "acquire", option, sandbox.path("queue"), "--"] + oracle.words + arguments)
    }

    /// The next one was told who stands still with the mutex.
    private func standsStill(_ next: Running) -> Bool {
        signal == SIGSTOP && next.err.contains(" stands still with the queue's mutex")
    }

    /// The victim stands still with the permit, and nobody but SIGCONT can help. A guardian that was
    /// stopped has no such excuse: `semq` lets it go on.
    private func stopsHolding() -> Bool {
        guard role != .guardian, let hit, Machine.state(of: hit) == "T", status?.holders.isEmpty == false,
            !oracle.names.contains("next")
        else { return false }
        // The command may just be running.
        return !Event.happens(within: 2) { status?.holders.isEmpty != false || oracle.names.contains("next") }
    }

    private func checkEnd(_ victim: Running, _ first: Running?) throws {
        guard Event.happens({ victim.hasEnded }) else { throw fail("the victim does not end: \(victim.err)") }
        if let first, first.wait().status != .exited(0) { throw fail("the first one ended as \(first.wait())") }
        guard Event.happens({ status.map { $0.holders.isEmpty && $0.waiting.isEmpty } == true }) else {
            throw fail("left behind: \(status.map { "\($0)" } ?? "no status")")
        }
        let again = try sandbox.semq("acquire", "-q", "-n", "queue", "--", "true")
        guard again.status == .exited(0) else { throw fail("the queue does not go on: \(again)") }
        if let complaint = oracle.complaint { throw fail(complaint) }
        // Stopped, it went on and did its work; killed, it may have done it or not.
        if signal == SIGSTOP, !oracle.names.contains("victim") {
            throw fail("the victim's command never ran: \(victim.err)")
        }
        let leftovers = try FileManager.default.contentsOfDirectory(atPath: sandbox.folder)
            .filter { !$0.hasPrefix(".") }.sorted()
        let expected = ["entered", "queue", "queue.history", "work"] + ["report", "go"].filter { sandbox.exists($0) }
        guard leftovers == expected.sorted() else { throw fail("files left behind: \(leftovers)") }
    }
}
