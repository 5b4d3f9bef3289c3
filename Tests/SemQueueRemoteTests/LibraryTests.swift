import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The library's `withPermit` on a queue of another host, from a program that is not `semq`.
@Suite(.onHosts) struct LibraryTests {
    private let lab: TestLab
    private let bench: TestHost
    private let sandbox: Sandbox

    init() throws {
        (lab, sandbox) = (try TestLab(), try Sandbox())
        bench = try lab.host("bench")
    }

    /// This machine's side of the lab's network, with its keys; the `semq` in PATH is what the host gets.
    private func start(_ count: Int, lease: Int, input: String? = nil) throws -> Running {
        try sandbox.start(
            [Machine.built("SemQueueLibraryClient"), "lab@bench:board.queue", "\(count)", "\(lease)"],
            environment: ["PATH": path], input: input)
    }

    private var path: String {
        "\(lab.about.bin):\((Sandbox.binary as NSString).deletingLastPathComponent):/usr/bin:/bin"
    }

    /// One turn, which lasts until something is written to the descriptor.
    private func startOne(lease: Int) throws -> (Running, input: Int32) {
        // Brings itself there, which takes a library that is built for debugging long.
        let brought = try sandbox.semq(
            "acquire", "lab@bench:other.queue", "--", "true", environment: ["PATH": path])
        try #require(brought.status == .exited(0), "\(brought.err)")
        let fifo = sandbox.path("input")
        try #require(mkfifo(fifo, 0o600) == 0)
        let input = open(fifo, O_RDWR | O_CLOEXEC)
        return (try start(1, lease: lease, input: "input"), input)
    }

    @Test func manyTasksTakeTurnsOverOneSession() throws {
        let running = try start(20, lease: 60)
        #expect(running.wait().status == .exited(0), "\(running.err)")
        let entries = running.out.split(separator: "\n").filter { $0.hasPrefix("in ") }
        #expect(entries.count == 20 && entries.allSatisfy { $0.hasSuffix("slot 0 holders 1") }, "\(running.out)")
        #expect(running.out.split(separator: "\n").count { $0.hasPrefix("out ") } == 20)
        #expect(try Scene.status(of: bench).isFree)
        // They shared sessions: as many as it takes for so many channels, of which sshd allows ten each.
        let connections = try bench.shell("grep -c 'Accepted publickey' /var/log/sshd.log || true").out
        if let count = Int(connections.trimmingCharacters(in: .whitespacesAndNewlines)), count > 0 {
            #expect(count <= 6, "\(connections)")
        }
    }

    @Test func aLostLeaseCancelsTheBodyAndThrows() throws {
        let (client, input) = try startOne(lease: 5)
        defer { close(input) }
        #expect(Event.happens { client.out.contains("in 0") }, "\(client.err)")
        try bench.drop()
        #expect(Event.happens { client.hasEnded }, "\(client.out)")
        try bench.heal()
        #expect(client.out.contains("cancelled 0"), "\(client.out)")
        #expect(client.out.contains("the permit is lost: no answer from the host for"), "\(client.out)")
    }

    @Test func aShortCutIsNotNoticed() throws {
        let (client, input) = try startOne(lease: 10)
        defer { close(input) }
        #expect(Event.happens { client.out.contains("in 0") }, "\(client.err)")
        try bench.drop()
        #expect(!Event.happens(within: 2) { client.hasEnded })
        try bench.heal()
        // Longer than the lease of before.
        #expect(!Event.happens(within: 11) { client.hasEnded }, "\(client.out)")
        _ = "\n".withCString { write(input, $0, 1) }
        #expect(client.wait().status == .exited(0))
        #expect(client.out.contains("out 0"), "\(client.out)")
        #expect(try Scene.status(of: bench).isFree)
    }
}

extension Scene {
    /// The same of a host that no scene was made with.
    static func status(of bench: TestHost) throws -> Status {
        let result = try bench.shell("cd; exec .cache/semq/*/semq status --json board.queue", user: "lab")
        return try JSONDecoder().decode(Status.self, from: Data(result.out.utf8))
    }
}
