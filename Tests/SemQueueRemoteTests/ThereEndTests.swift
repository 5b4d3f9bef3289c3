import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `--there`: the command's end is told behind all that it has printed, whoever is slow.
@Suite(.onHosts) struct ThereEndTests {
    private let scene: Scene
    private let one: TestHost
    private static let queue = "lab@bench:board.queue"

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    private func semq(_ options: String...) -> String {
        (["semq", "acquire", "--there", "-q"] + scene.transport.options + options + [Self.queue, "--"])
            .joined(separator: " ")
    }

    private func file(_ name: String) -> String { scene.bench.read("/home/lab/\(name)") }

    private func go() throws { _ = try scene.bench.shell(": >/home/lab/go", user: "lab") }

    private static let untilGo = "until [ -e go ]; do sleep 0.02; done"

    private static func numbers(to last: Int) -> String { (1...last).map { "\($0)\n" }.joined() }

    /// Behind the command's end there is more on the way than the reader's pipe holds; a second, or longer than the lease.
    @Test(arguments: Transport.allCases, [1.0, 8.0])
    func aReaderThatIsSlowAtTheEnd(_ transport: Transport, _ seconds: Double) throws {
        scene.transport = transport
        let (code, take) = (scene.sandbox.path("code"), scene.sandbox.path("take"))
        let first = Self.numbers(to: 400_000).utf8.count
        let command =
            "seq 400000; \(Self.untilGo); seq 400001 420000; echo end >end; exit 3"
        let line = "{ \(semq("--lease 5")) sh -c '\(command)'; echo $? >\(code); }"
        let reader = "{ head -c \(first); until [ -e \(take) ]; do sleep 0.02; done; cat; }"
        let running = try one.start(["bash", "-c", "\(line) | \(reader)"])
        // With nothing on the way any more the rest has room there.
        #expect(Event.happens { running.out.utf8.count == first }, "\(running.err)")
        try go()
        #expect(Event.happens { file("end") == "end\n" || scene.sandbox.exists("code") }, "\(running.err)")
        #expect(Scene.comesToBe { (try? scene.status().isFree) == true })
        let wasInAHurry = Event.happens(within: seconds) { scene.sandbox.exists("code") }
        #expect(!wasInAHurry, "\(running.err)")
        try scene.sandbox.write("take", "")
        let result = running.wait()
        let isWhole = result.out == Self.numbers(to: 420_000)
        #expect(isWhole, "\(result.out.utf8.count) bytes, at the end \(result.out.suffix(40))")
        #expect(scene.sandbox.read("code") == "3\n" && result.err == "", "\(result.err)")
    }

    /// Between its looks at the output and at the command, which take long, the last is printed and the command ends.
    @Test func anAgentThatIsSlowToLearnOfTheEnd() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        // By the first word it is woken; the others come while it is asking for the command's end.
        let command = "echo ready; \(Self.untilGo); echo first; sleep 0.1; seq 5000; echo last >&2; exit 3"
        let running = try one.start(["sh", "-c", "\(semq()) sh -c '\(command)'; echo code-$?-"])
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        let agent = try #require(try scene.agents().last?.pid)
        let strace = try scene.sandbox.start([
            "strace", "-qq", "-o", "trace", "-p", "\(agent)", "-e", "trace=wait4", "-e",
            "inject=wait4:delay_enter=700000",
        ])
        // It asks again and again.
        try #require(Event.happens { scene.sandbox.lines("trace").count > 1 }, "\(strace.err)")
        try go()
        let result = running.wait()
        let isWhole = result.out == "ready\nfirst\n" + Self.numbers(to: 5000) + "code-3-\n"
        #expect(isWhole, "\(result.out.utf8.count) bytes, at the end \(result.out.suffix(40))")
        #expect(result.err == "last\n")
        // It ends with the agent.
        _ = strace.wait()
    }

    /// What the command has started keeps its output, and prints when the command has ended.
    @Test(arguments: Transport.allCases) func whatTheCommandHasLeftPrintsLater(_ transport: Transport) throws {
        scene.transport = transport
        let command = "(\(Self.untilGo); seq 60000; echo late >&2) & echo $$ >pid; exit 3"
        let running = try one.start(["sh", "-c", "\(semq()) sh -c '\(command)'; echo code-$?-"])
        #expect(Event.happens { !file("pid").isEmpty }, "\(running.err)")
        let inner = Int(file("pid").trimmingCharacters(in: .newlines))
        #expect(Event.happens { (try? scene.bench.processes().contains { Int($0.inner) == inner }) == false })
        let wasInAHurry = Event.happens(within: 1) { running.hasEnded }
        #expect(!wasInAHurry, "\(running.out)")
        try go()
        let result = running.wait()
        let isWhole = result.out == Self.numbers(to: 60_000) + "code-3-\n"
        #expect(isWhole, "\(result.out.utf8.count) bytes, at the end \(result.out.suffix(40))")
        #expect(result.err == "late\n")
    }
}
