import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `--there`: keys of the terminal, and a `semq` on the host that is killed.
@Suite(.onHosts) struct ThereSignalsTests {
    private let scene: Scene
    private let one: TestHost
    private static let queue = "lab@bench:board.queue"

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    private func words(_ line: String) -> [String] {
        ["semq", "acquire", "--there", "-m", "there"] + scene.transport.options
            + [Self.queue, "--", "bash", "-c", line]
    }

    /// At a shell's prompt, which is on the terminal again when it has ended, and says how.
    private func typed(_ line: String) throws -> Pty {
        let bash = try one.terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"])
        #expect(bash.sees("# "))
        let words = words("$LINE").dropLast().joined(separator: " ")
        try scene.sandbox.write("line", line)
        bash.line("\(words) \"$(cat \(scene.sandbox.path("line")))\"")
        return bash
    }

    /// What the shell was told at its next prompt.
    private func code(_ bash: Pty) -> String {
        guard bash.sees("# ") else { return bash.everything }
        bash.line("echo code-$?-")
        guard bash.sees("code-"), bash.sees("# ") else { return bash.everything }
        return bash.everything.split(separator: "code-").last?.split(separator: "-").first.map(String.init) ?? ""
    }

    /// Ready when it is another process than the shell around it.
    private static let sleeper = "sh -c 'echo ready; exec sleep 1000'"

    private static let untilGo = "until [ -e go ]; do sleep 0.02; done"

    private func go() throws { _ = try scene.bench.shell(": >/home/lab/go", user: "lab") }

    /// A script ends by Ctrl-C if what it waits for does: to that it goes, too.
    @Test(arguments: Transport.allCases) func aKeyThatEndsAScript(_ transport: Transport) throws {
        scene.transport = transport
        let terminal = try typed("\(Self.sleeper); echo went on >went; sleep 1000")
        #expect(terminal.sees("ready"), "\(terminal.everything)")
        terminal.type(Pty.interrupt)
        #expect(code(terminal) == "130")
        #expect(scene.becomesFree())
        #expect(!scene.bench.exists("/home/lab/went"))
        #expect(try scene.bench.processes().allSatisfy { $0.words != ["sleep", "1000"] })
    }

    /// Ctrl-\\, which bash itself ignores.
    @Test func theOtherKey() throws {
        let terminal = try typed("\(Self.sleeper); echo went on; exit 3")
        #expect(terminal.sees("ready"), "\(terminal.everything)")
        terminal.type("\u{1c}")
        #expect(terminal.sees("went on"), "\(terminal.everything)")
        #expect(code(terminal) == "3")
    }

    /// Once, and not a second time by its `semq`.
    @Test func aKeyIsToldOnce() throws {
        let terminal = try typed("trap 'echo told' INT; echo ready; \(Self.untilGo); echo end")
        #expect(terminal.sees("ready"), "\(terminal.everything)")
        terminal.type(Pty.interrupt)
        #expect(terminal.sees("told"), "\(terminal.everything)")
        let isTwice = Event.happens(within: 1) { terminal.text.contains("told") }
        #expect(!isTwice)
        try go()
        #expect(terminal.sees("end"))
        #expect(code(terminal) == "0")
    }

    /// As on one machine: what the command has left is ended by it.
    @Test func aKeyForWhatTheCommandHasLeft() throws {
        let left = "trap '' INT; echo left; while :; do sleep 0.02; done"
        let terminal = try typed("bash -c \"\(left)\" & disown; exit 3")
        #expect(terminal.sees("left"), "\(terminal.everything)")
        #expect(terminal.sees("Ctrl-C, or SIGTERM to your semq, ends it"), "\(terminal.everything)")
        terminal.type(Pty.interrupt)
        #expect(code(terminal) == "3")
        #expect(scene.becomesFree())
    }

    @Test func aKeyWhileItWaits() throws {
        let holder = try scene.holding("a", on: scene.client("two"))
        let terminal = try typed("echo in")
        #expect(Scene.comesToBe { (try? scene.status().stands("there")) == true }, "\(terminal.everything)")
        terminal.type(Pty.interrupt)
        #expect(code(terminal) == "130")
        #expect(Scene.comesToBe { (try? scene.status().waiting.isEmpty) == true })
        try holder.leave()
    }

    // MARK: the semq there is killed

    /// That an agent has started, as this machine numbers it; not its guardian.
    private func semqThere() throws -> pid_t {
        var found: pid_t?
        _ = Event.happens {
            found = try? scene.bench.processes().first {
                $0.words.prefix(2) == ["semq", "acquire"] && $0.name != "semq-guardian"
            }?.pid
            return found != nil
        }
        return try #require(found)
    }

    @Test(arguments: Transport.allCases) func killedWhileTheCommandRuns(_ transport: Transport) throws {
        scene.transport = transport
        let running = try one.start(words("echo ready; \(Self.untilGo); : >end"))
        #expect(Event.happens { running.out == "ready\n" }, "\(running.err)")
        kill(try semqThere(), SIGKILL)
        let result = running.wait()
        #expect(result.status == .exited(76), "\(result)")
        let sentence =
            "\(Self.queue): the semq there was killed (signal 9); the command there may go on, and keeps its turn as long as it runs"
        #expect(result.err.hasSuffix("semq: \(sentence)\n"), "\(result)")
        #expect(try scene.status().holds("there"))
        try go()
        #expect(scene.becomesFree())
        #expect(scene.bench.exists("/home/lab/end"))
    }

    @Test func killedWhileItWaits() throws {
        let holder = try scene.holding("a", on: scene.client("two"))
        let running = try one.start(words("echo in"))
        #expect(Scene.comesToBe { (try? scene.status().stands("there")) == true }, "\(running.err)")
        kill(try semqThere(), SIGKILL)
        let result = running.wait()
        #expect(result.status == .exited(76) && result.out == "", "\(result)")
        #expect(result.err.contains("was killed (signal 9) while it waited; the command was not started"), "\(result)")
        try holder.leave()
    }
}
