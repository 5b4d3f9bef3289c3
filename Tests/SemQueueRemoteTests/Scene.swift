import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// A host with a queue, clients on hosts of their own that take turns at it, and a record of who was inside when.
final class Scene {
    /// A folder that all clients see.
    let sandbox: Sandbox
    let lab: TestLab
    /// The host that the queue is on, `lab@bench:board.queue`.
    let bench: TestHost
    /// The way that its clients go from now on.
    var transport = Transport.own
    private let worker: String

    /// The shortest that there is, in seconds.
    static let lease = 5.0

    init(_ options: HostOptions = HostOptions()) throws {
        sandbox = try Sandbox()
        lab = try TestLab()
        bench = try lab.host("bench", options)
        worker = sandbox.path("worker")
        // Copied by another process: see Sandbox.write.
        let copied = try sandbox.start(["cp", "--", Machine.built("SemQueueWorker"), worker]).wait()
        try #require(copied.status == .exited(0), "\(copied.err)")
    }

    func client(_ name: String) throws -> TestHost { try lab.client(name, sees: [sandbox.folder]) }

    // MARK: turns

    /// One command under the semaphore, or on the way there.
    struct Turn {
        let name: String
        let client: TestHost
        let running: Running
        let scene: Scene

        /// Its command has started.
        var isIn: Bool { scene.sandbox.exists("log.in.\(name)") }

        /// The command may end.
        func leave() throws { try scene.sandbox.write("leave.\(name)", "") }

        /// What semq says, line by line.
        var said: [String] { running.err.split(separator: "\n").map(String.init) }

        func says(_ text: String) -> Bool { running.err.contains(text) }
    }

    /// The command for a turn of that name: stays inside until `leave()`.
    /// - Parameter manners: d leaves a grandchild in a session of its own, t ignores SIGTERM.
    func work(_ name: String, manners: String = "d") -> [String] {
        [worker, sandbox.path("log"), name, sandbox.path("leave.\(name)"), manners]
    }

    /// Starts `semq acquire` on a client.
    func start(
        _ name: String, on client: TestHost, _ options: [String] = [], at queue: String = "lab@bench:board.queue",
        manners: String = "d"
    ) throws -> Turn {
        try start(name, on: client, words: options + [queue], manners: manners)
    }

    /// The same with words of one's own up to `--`.
    func start(_ name: String, on client: TestHost, words: [String], manners: String = "d") throws -> Turn {
        let lease = words.contains("--lease") ? [] : ["--lease", "\(Int(Self.lease))"]
        let running = try client.start(
            ["semq", "acquire", "-m", name] + transport.options + lease + words + ["--"] + work(name, manners: manners))
        return Turn(name: name, client: client, running: running, scene: self)
    }

    /// Starts a turn and waits until it holds.
    func holding(
        _ name: String, on client: TestHost, _ options: [String] = [], at queue: String = "lab@bench:board.queue",
        manners: String = "d"
    ) throws -> Turn {
        let turn = try start(name, on: client, options, at: queue, manners: manners)
        try #require(Event.happens { turn.isIn || turn.running.hasEnded } && turn.isIn, "\(turn.running.err)")
        return turn
    }

    /// Starts a turn and waits until it stands in the queue.
    func waiting(
        _ name: String, on client: TestHost, _ options: [String] = [], at queue: String = "lab@bench:board.queue",
        manners: String = "d"
    ) throws -> Turn {
        let turn = try start(name, on: client, options, at: queue, manners: manners)
        let stands = Self.comesToBe { (try? status().waits(name)) == true || turn.running.hasEnded }
        try #require(stands && !turn.running.hasEnded, "\(turn.running.err)")
        return turn
    }

    // MARK: what is seen

    var timeline: Timeline { Timeline(sandbox.read("log")) }

    /// What went wrong, if anything: two inside at once, or tokens that did not rise.
    var complaint: String? { timeline.complaint }

    struct Status: Decodable {
        struct Member: Decodable {
            let ticket: Int64
            let description: String
            let token: Int64?
            let cut_off: Bool?
            let stopped: Bool?
        }

        let holders: [Member]
        let waiting: [Member]

        func holds(_ name: String) -> Bool { holders.contains { $0.description == name } }
        func waits(_ name: String) -> Bool { waiting.contains { $0.description == name } }
        /// It waits, and is heard of.
        func stands(_ name: String) -> Bool { waiting.contains { $0.description == name && $0.stopped != true } }
        var isFree: Bool { holders.isEmpty && waiting.isEmpty }
    }

    /// The queue as its host sees it, by the semq that some client has brought there.
    func status(_ queue: String = "board.queue") throws -> Status {
        try JSONDecoder().decode(Status.self, from: Data(statusText(queue).utf8))
    }

    /// The same as it is printed; what goes wrong with it, too.
    func statusText(_ queue: String = "board.queue") throws -> String {
        let result = try bench.shell("cd; exec .cache/semq/*/semq status --json \(queue)", user: "lab")
        return result.out + result.err
    }

    /// All grants there have been, the oldest first, as the history tells.
    func grants() throws -> [Status.Member] {
        let result = try bench.shell("cd; exec .cache/semq/*/semq history --json board.queue", user: "lab")
        return try result.out.split(separator: "\n").filter { $0.contains(#""event": "granted""#) }
            .map { try JSONDecoder().decode(Status.Member.self, from: Data($0.utf8)) }
    }

    /// Whether nobody holds or waits, before long.
    func becomesFree(within seconds: Double = 3) -> Bool {
        Self.comesToBe(within: seconds) { (try? status().isFree) == true }
    }

    /// As `Event.happens`, for what costs more to look at.
    static func comesToBe(within seconds: Double = 20, _ condition: () -> Bool) -> Bool {
        Event.happens(within: seconds) {
            if condition() { return true }
            usleep(50_000)
            return false
        }
    }

    /// The agents on the queue's host, the oldest first.
    func agents() throws -> [TestHost.Process] {
        try bench.processes().filter { $0.words.count > 1 && $0.words[0].hasSuffix("/semq") && $0.words[1] == "agent" }
    }
}

/// The processes of a turn, on its client.
extension Scene.Turn {
    private func processes(_ name: String) throws -> [pid_t] {
        try client.processes().filter { $0.name == name && $0.state != "Z" }.map(\.pid)
    }

    /// `semq` itself, as the shell sees it.
    var front: pid_t { get throws { try #require(running.inside) } }
    var guardian: pid_t { get throws { try #require(try processes("semq-guardian").first) } }
    /// The programs that carry its connections.
    var links: [pid_t] {
        get throws {
            try client.processes().filter { $0.words[0] == "ssh" || $0.words.prefix(2) == ["semq", "link"] }.map(\.pid)
        }
    }
    var command: pid_t { get throws { try #require(try processes("worker").first) } }
}

/// Its command comes in, may end, and `semq` ends with it.
func expectLeaves(
    _ turn: Scene.Turn, within seconds: Double = 20, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(Event.happens(within: seconds) { turn.isIn }, "\(turn.said)", sourceLocation: sourceLocation)
    try turn.leave()
    #expect(turn.running.wait().status == .exited(0), "\(turn.said)", sourceLocation: sourceLocation)
}
