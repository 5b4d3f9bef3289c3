import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// This `semq` and one of an earlier commit, the one on the host and the other at its client.
@Suite(.onHosts) struct CompatibilityTests {
    private let scene: Scene
    private let old: String
    private static let queue = "lab@bench:board.queue"

    init() throws {
        old = try Sandbox.oldBinary()
        scene = try Scene()
    }

    /// Whose is the older one.
    enum Older: CaseIterable { case host, client }

    /// A client, the host has its `semq` in PATH.
    private func client(_ older: Older, _ name: String = "one") throws -> TestHost {
        let client = try scene.client(name)
        try install(older == .host ? old : Sandbox.binary, on: scene.bench)
        if older == .client { try install(old, on: client) }
        return client
    }

    /// In the place of what is there, which may be running.
    private func install(_ binary: String, on host: TestHost) throws {
        try host.put(binary, at: "/usr/local/bin/semq.new")
        #expect(try host.shell("mv -f /usr/local/bin/semq.new /usr/local/bin/semq").status == .exited(0))
    }

    private func here(_ words: String...) throws -> Sandbox.Result {
        try scene.bench.start(["semq"] + words, user: "lab").wait()
    }

    /// The queue as its host's `semq` tells of it.
    private func stands(_ text: String) -> Bool {
        Scene.comesToBe { (try? here("status", "/home/lab/board.queue").out.contains(text)) == true }
    }

    private static let options = ["--no-bootstrap"]

    // MARK: turns

    /// Its connection is cut, others wait on the host and elsewhere, and one after the other is in.
    @Test(arguments: Older.allCases, Transport.allCases) func aTurnThatIsResumed(_ older: Older, _ transport: Transport)
        throws
    {
        scene.transport = transport
        let one = try client(older)
        let lease = Self.options + ["--lease", "20"]
        let holder = try scene.holding("a", on: one, lease)
        let next = try scene.start("b", on: one, lease)
        #expect(stands("held, 1 waiting"), "\(next.said)")
        let local = try scene.bench.start(
            ["semq", "acquire", "-q", "/home/lab/board.queue", "--", "echo", "in"], user: "lab")
        #expect(stands("held, 2 waiting"), "\(local.err)")
        for _ in 0..<2 {
            try scene.bench.resetConnections(one)
            #expect(Event.happens { holder.says("connected again after") }, "\(holder.said)")
            #expect(Event.happens { next.says("connected again after") }, "\(next.said)")
        }
        #expect(!next.isIn && !local.hasEnded)
        try expectLeaves(holder)
        try expectLeaves(next)
        #expect(local.wait() == .init(status: .exited(0), out: "in\n", err: ""))
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// Cut off for longer than its lease, it is dead before the next is in.
    @Test(arguments: Older.allCases) func aTurnThatIsLost(_ older: Older) throws {
        let one = try client(older)
        let holder = try scene.holding("a", on: one, Self.options)
        let two = try scene.client("two")
        if older == .client { try install(old, on: two) }
        let next = try scene.start("b", on: two, Self.options)
        #expect(stands("held, 1 waiting"), "\(next.said)")
        try scene.bench.drop(one)
        #expect(Event.happens(within: 30) { next.isIn }, "\(next.said)")
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// The host's `semq` is replaced while the connection is cut, as by an update.
    @Test func anOlderAgentIsFoundByANewerOne() throws {
        let one = try client(.host)
        let holder = try scene.holding("a", on: one, Self.options + ["--lease", "20"])
        try install(Sandbox.binary, on: scene.bench)
        try scene.bench.resetConnections(one)
        #expect(Event.happens { holder.says("connected again after") }, "\(holder.said)")
        try expectLeaves(holder)
    }

    /// An older one doesn't know where to look: it says so, and the command is dead before the next is in.
    @Test func aNewerAgentIsNotFoundByAnOlderOne() throws {
        let one = try client(.client)
        let holder = try scene.holding("a", on: one, Self.options)
        try install(old, on: scene.bench)
        let next = try scene.start("b", on: scene.client("two"), Self.options)
        #expect(stands("held, 1 waiting"), "\(next.said)")
        try scene.bench.resetConnections(one)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        #expect(holder.says("the agent that held the place is no longer there"), "\(holder.said)")
        #expect(Event.happens(within: 30) { next.isIn }, "\(next.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    // MARK: there

    /// Cut in the middle of its output, and then ended by its client.
    @Test(arguments: Older.allCases, Transport.allCases) func there(_ older: Older, _ transport: Transport) throws {
        scene.transport = transport
        let one = try client(older)
        let words = ["semq", "acquire", "--there", "-q", "--lease", "20"] + Self.options + transport.options
        let count = "for i in $(seq 200); do echo $i; sleep 0.02; done; exit 3"
        let counting = try one.start(words + [Self.queue, "--", "sh", "-c", count])
        for lines in [20, 100] {
            #expect(Event.happens { counting.out.split(separator: "\n").count > lines }, "\(counting.err)")
            try scene.bench.resetConnections(one)
        }
        let result = counting.wait()
        #expect(result.status == .exited(3), "\(result.err)")
        #expect(result.out == (1...200).map { "\($0)\n" }.joined())
        let running = try one.start(words + [Self.queue, "--", "sh", "-c", "echo in; exec sleep 1000"])
        #expect(Event.happens { running.out == "in\n" }, "\(running.err)")
        #expect(try here("status", "/home/lab/board.queue").out.contains("root@one"))
        kill(try #require(running.inside), SIGTERM)
        #expect(running.wait().status == .signaled(SIGTERM))
        #expect(stands("free, nobody waits"))
    }

    /// It would run without them.
    @Test(arguments: [["--until", "tree"], ["--grace", "9"]]) func thereWithOptionsOfLater(_ options: [String]) throws {
        let one = try client(.host)
        let words = ["semq", "acquire", "--there", "-q"] + Self.options + options
        let result = try one.start(words + [Self.queue, "--", "echo", "in"]).wait()
        #expect(result.status == .exited(69) && result.out == "", "\(result)")
        #expect(result.err.contains("\(Self.queue): the host's semq is too old for \(options[0])"), "\(result)")
        #expect(!scene.bench.exists("/home/lab/board.queue"))
    }

    /// Its client is gone for good.
    @Test(arguments: Older.allCases) func thereWithoutItsClient(_ older: Older) throws {
        let one = try client(older)
        let words = ["semq", "acquire", "--there", "-q", "--lease", "5"] + Self.options
        let running = try one.start(words + [Self.queue, "--", "sh", "-c", "echo in; exec sleep 1000"])
        #expect(Event.happens { running.out == "in\n" }, "\(running.err)")
        kill(try #require(running.inside), SIGKILL)
        #expect(stands("free, nobody waits"))
        #expect(try scene.bench.processes().allSatisfy { $0.words != ["sleep", "1000"] })
    }

    // MARK: administration

    @Test(arguments: Older.allCases) func administration(_ older: Older) throws {
        let one = try client(older)
        func semq(_ words: String...) throws -> Sandbox.Result {
            try one.start(["semq", words[0]] + Self.options + [Self.queue] + words.dropFirst()).wait()
        }
        let holder = try scene.holding("a", on: one, Self.options)
        let status = try semq("status").out
        #expect(status.contains("held, nobody waits") && status.contains("root@one"), "\(status)")
        #expect(try semq("set", "--concurrency", "2").status == .exited(0))
        #expect(try here("acquire", "-q", "-n", "/home/lab/board.queue", "--", "true").status == .exited(0))
        #expect(try semq("set", "--pause", "lunch").status == .exited(0))
        #expect(try here("acquire", "-q", "-n", "/home/lab/board.queue", "--", "true").status == .exited(75))
        #expect(try semq("set", "--resume").status == .exited(0))
        #expect(try semq("doctor").status == .exited(0))
        let released = try semq("release", "--ticket", "1", "--reason", "fire drill", "--grace", "1")
        #expect(released.status == .exited(0), "\(released)")
        #expect(holder.running.wait().status == .exited(76) && holder.says("fire drill"), "\(holder.said)")
        #expect(try semq("history").out.contains("fire drill"))
    }
}
