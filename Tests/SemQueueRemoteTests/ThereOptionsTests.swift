import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// What the options of `semq acquire` mean with `--there`, and what is said there of the queue.
@Suite(.onHosts) struct ThereOptionsTests {
    private let scene: Scene
    private let one: TestHost
    private static let queue = "lab@bench:board.queue"

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    private func start(_ options: [String], _ line: String) throws -> Running {
        try one.start(["semq", "acquire", "--there", "-m", "there"] + options + [Self.queue, "--", "sh", "-c", line])
    }

    /// Whoever comes next is in when the daemon has ended.
    @Test func untilTree() throws {
        let daemon = "echo runs >daemon; until [ -e go ]; do sleep 0.02; done; echo over >daemon"
        let first = try start(["-q", "--until", "tree"], "setsid -f sh -c '\(daemon)' >daemon.out 2>&1")
        #expect(Event.happens { scene.bench.read("/home/lab/daemon") == "runs\n" }, "\(first.err)")
        let next = try one.start(["semq", "acquire", "--there", "-q", "-m", "next", Self.queue, "--", "cat", "daemon"])
        #expect(Scene.comesToBe { (try? scene.status().stands("next")) == true || next.hasEnded })
        _ = try scene.bench.shell(": >/home/lab/go", user: "lab")
        #expect(next.wait().out == "over\n")
        #expect(first.wait().status == .exited(0))
    }

    /// What ignores SIGTERM is killed when the grace time is over, and not five seconds later.
    @Test func grace() throws {
        let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.02; done"
        let running = try start(["-q", "--grace", "60"], "sh -c \"\(stubborn)\" & wait")
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        kill(try #require(running.inside), SIGTERM)
        #expect(!Event.happens(within: 7) { running.hasEnded })
        kill(try #require(running.inside), SIGKILL)
    }

    @Test func aLossThatIsOnlyToBeTold() throws {
        let result = try start(["--on-lost", "warn"], "echo in").wait()
        #expect(result.status == .exited(64) && result.out == "", "\(result)")
        #expect(result.err.contains("leave --on-lost warn out"), "\(result)")
        #expect(try start(["-q", "--on-lost", "kill"], "echo in").wait().out == "in\n")
    }

    @Test(arguments: [["-w", "0"], ["--timeout=0"], ["-w", "9", "-n"]]) func noTimeToWait(_ options: [String]) throws {
        let holder = try scene.holding("a", on: scene.client("two"))
        let running = try start(options, "echo in")
        #expect(Event.happens(within: 8) { running.hasEnded })
        guard running.hasEnded else { return }
        let result = running.wait()
        #expect(result.status == .exited(75) && result.err.contains("\(Self.queue): busy"), "\(result)")
        try holder.leave()
    }

    /// What it says to type means the queue there.
    @Test func theWayOutNamesTheHost() throws {
        #expect(try start(["-q", "--concurrency", "3"], "true").wait().status == .exited(0))
        let result = try start(["--concurrency", "2"], "echo in").wait()
        #expect(result.status == .exited(64) || result.out == "", "\(result)")
        #expect(result.err.hasPrefix("semq: \(Self.queue): "), "\(result)")
        #expect(result.err.hasSuffix("semq set \(Self.queue) --concurrency 2\n"), "\(result)")
        let way = try #require(result.err.firstRange(of: "semq set ")).lowerBound
        #expect(try one.shell(String(result.err[way...])).status == .exited(0))
        #expect(try start(["-q", "--concurrency", "2"], "echo in").wait().out == "in\n")
    }
}
