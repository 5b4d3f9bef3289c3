import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `--there`: the lease is renewed whatever becomes of the streams here.
@Suite(.onHosts) struct ThereStreamsTests {
    private let scene: Scene
    private let one: TestHost
    private static let queue = "lab@bench:board.queue"
    private static let semq = "semq acquire --there -q --lease 5 \(queue) --"
    /// Longer than the lease, and what its loss takes to be seen.
    private static let long = 8.0

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    private func file(_ name: String) -> String { scene.bench.read("/home/lab/\(name)") }

    private func go() throws { _ = try scene.bench.shell(": >/home/lab/go", user: "lab") }

    private static let untilGo = "until [ -e go ]; do sleep 0.02; done"

    /// Whether the turn is lost though its client is there.
    private var isLost: Bool { file("board.queue.history").contains(#""event": "lost""#) }

    /// What is typed is the shell's, until the command has the terminal.
    @Test func inTheBackground() throws {
        let bash = try one.terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"])
        bash.line("\(Self.semq) sh -c 'echo $$ >pid; read line; echo \"got $line\"' & echo pid-$!-")
        #expect(bash.sees("pid-"))
        #expect(Event.happens { !file("pid").isEmpty }, "\(bash.everything)")
        let semq = try #require(
            try one.processes().first { $0.words.prefix(3) == ["semq", "acquire", "--there"] }?.pid)
        for number in 1...10 {
            bash.line("echo typed-$((\(number) * 3))-")
            #expect(bash.sees("typed-\(number * 3)-"), "\(bash.everything)")
        }
        let hasStopped = Event.happens(within: Self.long) { Processes.isStopped(semq) || isLost }
        #expect(!hasStopped, "\(bash.everything)")
        bash.line("fg")
        #expect(Event.happens { Processes.isInForeground(semq) })
        bash.line("some words")
        #expect(bash.sees("got some words"), "\(bash.everything)")
        #expect(!isLost)
    }

    /// Even where whoever writes to the terminal from there is to be stopped.
    @Test func outputFromTheBackground() throws {
        let bash = try one.terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"])
        bash.line(
            "stty tostop; \(Self.semq) sh -c '\(Self.untilGo); echo out; echo err >&2; echo $? >end' & echo started-$?-"
        )
        #expect(bash.sees("started-0-"))
        #expect(Scene.comesToBe { (try? scene.status().holders.isEmpty) == false }, "\(bash.everything)")
        try go()
        #expect(
            Event.happens { bash.everything.contains("out") && bash.everything.contains("err") }, "\(bash.everything)")
        bash.line("wait; echo ended-$?-")
        #expect(bash.sees("ended-0-"), "\(bash.everything)")
    }

    /// poll(2) tells both of the same bytes, and one of them gets them.
    @Test func inputThatAnotherReads() throws {
        let input =
            "for i in $(seq 100); do echo $i; sleep 0.02; done; until [ -e \(scene.sandbox.path("end")) ]; do sleep 0.02; done"
        let readers =
            "\(Self.semq) sh -c 'echo $$ >pid; \(Self.untilGo); echo end' <&0 & for i in 1 2 3; do cat >/dev/null & done; wait"
        let running = try one.start(["bash", "-c", "(\(input)) | { \(readers); }"])
        #expect(Event.happens { !file("pid").isEmpty }, "\(running.err)")
        let isGone = Event.happens(within: Self.long) { isLost }
        #expect(!isGone)
        try go()
        #expect(Event.happens { running.out == "end\n" }, "\(running.err)")
        try scene.sandbox.write("end", "")
        #expect(running.wait().err == "")
    }

    /// A terminal takes what it has room for, and lets its writer wait for the rest.
    @Test func aTerminalThatTakesNothing() throws {
        let terminal = try one.terminal(["sh", "-c", "\(Self.semq) sh -c 'echo $$ >pid; seq 60000; echo the end'"])
        #expect(Event.happens { !file("pid").isEmpty })
        let isGone = Event.happens(within: Self.long) { isLost }
        #expect(!isGone)
        #expect(terminal.sees("the end"), "\(terminal.everything.suffix(300))")
        #expect(terminal.wait() == .exited(0))
    }

    /// Nobody takes what the command has printed, and it has ended.
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP]) func aSignalWhileNobodyReads(_ signal: Int32) throws {
        let line = "mkfifo /tmp/p; sleep 1000 </tmp/p & exec \(Self.semq) sh -c 'seq 30000; : >end' >/tmp/p"
        let running = try one.start(["bash", "-c", line])
        #expect(Event.happens { scene.bench.exists("/home/lab/end") }, "\(running.err)")
        #expect(Scene.comesToBe { (try? scene.status().isFree) == true })
        // What was told before the end was known is the command's, and that is known a moment later.
        let semq = try #require(
            try one.processes().first { $0.words.prefix(3) == ["semq", "acquire", "--there"] }?.pid)
        let ends = Scene.comesToBe {
            kill(semq, signal)
            return Machine.state(of: semq) == nil || Machine.state(of: semq) == "Z"
        }
        #expect(ends)
        running.send(SIGKILL)
        for process in try one.processes() where process.words == ["sleep", "1000"] { kill(process.pid, SIGKILL) }
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true })
    }

    /// It is said what becomes of it, and the second one ends semq; also before anybody knows of the cut.
    @Test(arguments: [SIGINT, SIGTERM], [false, true]) func signalsWhileCutOff(_ signal: Int32, isKnown: Bool) throws {
        let words = [
            "semq", "acquire", "--there", "--lease", isKnown ? "20" : "60", Self.queue, "--", "sh", "-c",
            "echo in; exec sleep 1000",
        ]
        let running = try one.start(words)
        #expect(Event.happens { running.out == "in\n" }, "\(running.err)")
        try scene.bench.drop()
        if isKnown { #expect(Event.happens { running.err.contains("the connection is lost") }, "\(running.err)") }
        let semq = try #require(running.inside)
        kill(semq, signal)
        #expect(Event.happens { running.err.contains("is passed on when the connection is back") }, "\(running.err)")
        #expect(!running.hasEnded)
        kill(semq, signal)
        let result = running.wait()
        #expect(result.status == .signaled(signal), "\(result)")
        #expect(result.err.hasSuffix("the command there is ended when its lease is over\n"), "\(result)")
    }

    @Test func aSignalOfATimeWithoutConnectionIsPassedOn() throws {
        let words = [
            "semq", "acquire", "--there", "--lease", "20", Self.queue, "--", "sh", "-c", "echo in; exec sleep 1000",
        ]
        let running = try one.start(words)
        #expect(Event.happens { running.out == "in\n" }, "\(running.err)")
        try scene.bench.drop()
        #expect(Event.happens { running.err.contains("the connection is lost") }, "\(running.err)")
        kill(try #require(running.inside), SIGTERM)
        #expect(Event.happens { running.err.contains("is passed on when the connection is back") }, "\(running.err)")
        try scene.bench.heal()
        #expect(running.wait().status == .signaled(SIGTERM), "\(running.err)")
        #expect(scene.becomesFree())
    }

    /// Of the messages of the semq there.
    @Test func aReaderThatIsGone() throws {
        let command = "trap '' PIPE; : >in; until [ -e go ]; do sleep 0.02; echo x >&2; done; (sleep 2 &) 2>&-; exit 3"
        let reader = "until [ -e /tmp/gone ]; do sleep 0.02; done; exec <&-"
        let line = "semq acquire --there --lease 5 \(Self.queue) -- bash -c \"\(command)\" 2> >(\(reader)); echo $?"
        let running = try one.start(["bash", "-c", line])
        #expect(Event.happens { scene.bench.exists("/home/lab/in") })
        _ = try one.shell(": >/tmp/gone")
        try go()
        #expect(Event.happens { running.out == "3\n" }, "\(running.out)")
        #expect(scene.becomesFree(within: 10))
    }
}
