import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Somebody else has the secret of a client, and goes on in its place: semq is told, says so, and is out of it. By real
/// agents, that somebody by hand; no hosts are needed for that.
@Suite struct SupersededTests {
    private let sandbox: Sandbox
    private let queue: String

    init() throws {
        sandbox = try Sandbox()
        queue = sandbox.path("board.queue")
    }

    /// Starts `semq acquire` over a way that keeps what the agent says.
    private func start(_ options: [String], _ command: [String]) throws -> Running {
        let way = try sandbox.write(
            "way", "#!/bin/bash\nset -o pipefail\nbash -c \"${@: -1}\" | tee -a \"$0.passed\"\n", executable: true)
        return try sandbox.start(
            [Sandbox.binary, "acquire", "--rsh", way, "--no-bootstrap", "--lease", "20"] + options
                + ["bench:\(queue)", "--"] + command)
    }

    /// What an agent has said in a message of that verb.
    private func told(_ name: String, of verb: String) -> String? {
        sandbox.lines("way.passed").first { $0.hasPrefix(verb + " ") }?.split(separator: " ")
            .first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    /// Goes on in the place of whoever was started.
    private func takeOver() throws -> HandClient {
        #expect(Event.happens { told("secret", of: "accepted") != nil })
        let (agent, secret) = (
            try #require(told("agent", of: "accepted")), try #require(told("secret", of: "accepted"))
        )
        let other = try HandClient(sandbox, [Sandbox.binary, "agent"])
        try other.greet()
        other.send("resume agent=\(agent) secret=\(secret) number=1")
        #expect(other.says("resumed number=1"), "\(other.running.out)")
        return other
    }

    /// The other has what it took over, undisturbed by what the first one does at its end.
    private func expectHolds(_ other: HandClient) throws {
        other.send("beat number=2")
        #expect(other.says("beat number=2"), "\(other.running.out)")
        #expect(other.line("superseded") == nil)
        #expect(try sandbox.semq("acquire", "-n", queue, "--", "true").status == .exited(75))
        other.send("goodbye")
        #expect(other.says("bye"))
        #expect(try sandbox.semq("acquire", "-q", "-w", "10", queue, "--", "true").status == .exited(0))
    }

    private static let says = "somebody else has taken over this connection"

    /// All that was started under the permit is dead then.
    @Test func aHolder() throws {
        let holder = try start([], ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.05; done"])
        #expect(Event.happens { !holder.out.isEmpty }, "\(holder.err)")
        let command = try #require(pid_t(holder.out.trimmingCharacters(in: .whitespacesAndNewlines)))
        let other = try takeOver()
        #expect(Event.happens { holder.hasEnded }, "\(holder.err)")
        #expect(holder.wait().status == .exited(76), "\(holder.err)")
        #expect(
            holder.err.contains("semq: bench:\(queue): the lock is lost: \(Self.says); the command is told to end"),
            "\(holder.err)")
        #expect(Machine.state(of: command) == nil)
        try expectHolds(other)
    }

    /// It may be two then, and has been told.
    @Test func aHolderWhereTheLossIsOnlyAWarning() throws {
        let holder = try start(["--on-lost", "warn"], ["sh", "-c", "until [ -e leave ]; do sleep 0.05; done; exit 3"])
        #expect(Event.happens { told("slot", of: "granted") != nil }, "\(holder.err)")
        let other = try takeOver()
        let isTold = Event.happens {
            holder.err.contains("the lock is lost: \(Self.says); the command goes on, perhaps not alone")
        }
        #expect(isTold, "\(holder.err)")
        try sandbox.write("leave", "")
        #expect(holder.wait().status == .exited(3), "\(holder.err)")
        try expectHolds(other)
    }

    /// It doesn't queue again: somebody waits in its place.
    @Test func aWaiter() throws {
        let first = try sandbox.starting("acquire", queue, "--", "sh", "-c", "until [ -e leave ]; do sleep 0.05; done")
        #expect(Event.happens { sandbox.exists("board.queue") && !isFree }, "\(first.err)")
        let waiter = try start([], ["true"])
        #expect(Event.happens { told("ticket", of: "joined") != nil }, "\(waiter.err)")
        let other = try takeOver()
        #expect(waiter.wait().status == .exited(76), "\(waiter.err)")
        #expect(waiter.err.hasSuffix("semq: bench:\(queue): \(Self.says)\n"), "\(waiter.err)")
        try sandbox.write("leave", "")
        #expect(first.wait().status == .exited(0))
        #expect(other.says("ready "), "\(other.running.out)")
        other.send("take number=\(other.value("number", of: "ready") ?? "")")
        #expect(other.says("granted "), "\(other.running.out)")
        try expectHolds(other)
    }

    private var isFree: Bool {
        (try? sandbox.semq("acquire", "-q", "-n", queue, "--", "true").status) == .exited(0)
    }

    /// The command there goes on, for the other.
    @Test func oneWhoseCommandRunsThere() throws {
        let command = "echo ready; until [ -e leave ]; do sleep 0.05; done; exit 3"
        let client = try start(["--there"], ["sh", "-c", command])
        #expect(Event.happens { client.out == "ready\n" }, "\(client.err)")
        let other = try takeOver()
        #expect(client.wait().status == .exited(76), "\(client.err)")
        #expect(client.err.hasSuffix("no way to the command there: \(Self.says)\n"), "\(client.err)")
        try sandbox.write("leave", "")
        #expect(other.says("ended "), "\(other.running.out)")
        #expect(other.value("code", of: "ended") == "3", "\(other.running.out)")
    }
}
