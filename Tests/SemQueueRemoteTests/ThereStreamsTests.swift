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

    /// It reads the terminal, and isn't stopped for it: see what `inTheBackground` types. One that somebody has stopped all
    /// the same goes on by `fg`, and what is typed arrives then, once.
    @Test(arguments: [false, true]) func aReaderComesToTheForeground(wasStopped: Bool) throws {
        let bash = try one.terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"])
        // Whoever is stopped sends no heartbeats.
        let semq = Self.semq.replacing("--lease 5", with: "--lease \(wasStopped ? 30 : 5)")
        bash.line("\(semq) sh -c 'echo $$ >pid; cat; exit 3' & echo started-$?-")
        #expect(bash.sees("started-0-"))
        #expect(Event.happens { !file("pid").isEmpty }, "\(bash.everything)")
        let front = try #require(
            try one.processes().first { $0.words.prefix(3) == ["semq", "acquire", "--there"] }?.pid)
        if wasStopped {
            bash.line("kill -STOP %1")
            #expect(Event.happens { Processes.isStopped(front) })
        } else {
            kill(front, SIGTTIN)
        }
        bash.line("echo for-the-$((6 * 7))-shell")
        #expect(bash.sees("for-the-42-shell"), "\(bash.everything)")
        if !wasStopped {
            let hasStopped = Event.happens(within: Self.long) { Processes.isStopped(front) || isLost }
            #expect(!hasStopped, "\(bash.everything)")
        }
        bash.line("fg")
        #expect(Event.happens { Processes.isInForeground(front) }, "\(bash.everything)")
        for number in 1...3 {
            bash.line("words \(number)")
            #expect(bash.sees("words \(number)\r\n"), "\(bash.everything)")
        }
        bash.type(Pty.endOfInput)
        #expect(Event.happens { !Processes.isAlive(front) }, "\(bash.everything)")
        bash.line("echo code-$?-")
        #expect(bash.sees("code-3-"), "\(bash.everything)")
        for number in 1...3 { #expect(bash.everything.split(separator: "words \(number)").count == 2) }
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

    /// What is to be said of a cut isn't, where nobody takes it; the lease is renewed, and what the command says waits.
    @Test(arguments: [Breakage.reset, .close, .silence], Transport.allCases)
    func errorsThatNobodyReads(_ breakage: Breakage, _ transport: Transport) throws {
        scene.transport = transport
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        // Then there is nothing to be said but of the cuts.
        let first = try one.start(["semq", "acquire", "-q", "lab@way:board.queue", "--", "true"]).wait()
        #expect(first.status == .exited(0), "\(first.err)")
        let fifo = scene.sandbox.path("errors")
        try #require(mkfifo(fifo, 0o600) == 0)
        let reader = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        defer { close(reader) }
        let options = transport.options.joined(separator: " ")
        let command = "echo $$ >pid; \(Self.untilGo); rm go; seq 100000 >&2; exit 3"
        // Without -q: it has something to say.
        let running = try one.start([
            "sh", "-c",
            "semq acquire --there \(options) --lease 5 lab@way:board.queue -- sh -c '\(command)' 2>\(fifo); echo code-$?-",
        ])
        #expect(Event.happens { !file("pid").isEmpty })
        // Until there is no room for a byte.
        var filled = 0
        for size in [4096, 1] {
            let bytes = [UInt8](repeating: UInt8(ascii: "."), count: size)
            while case let count = write(reader, bytes, size), count > 0 { filled += count }
        }
        #expect(filled > 0)
        try go()
        // The command prints, and waits for its reader.
        #expect(Event.happens { !scene.bench.exists("/home/lab/go") })
        for cut in 1...2 {
            let before = try proxy.connections().count
            try proxy.act(breakage)
            let isBack = Scene.comesToBe {
                (try? proxy.connections().dropFirst(before).contains { $0.state == "open" }) == true
            }
            #expect(isBack, "\(cut)")
            let isGone = Event.happens(within: Self.long) { isLost || running.hasEnded }
            #expect(!isGone, "\(running.out)")
        }
        var said: [UInt8] = []
        func drain() {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while case let count = read(reader, &buffer, buffer.count), count > 0 { said += buffer[..<count] }
        }
        let hasEnded = Event.happens {
            drain()
            return running.hasEnded
        }
        drain()
        #expect(hasEnded && running.out == "code-3-\n", "\(running.out)")
        let numbers = (1...100_000).map { "\($0)\n" }.joined()
        let text = String(decoding: said, as: UTF8.self)
        let isWhole = text.hasSuffix("." + numbers)
        #expect(isWhole, "\(text.utf8.count) bytes, at the end \(text.suffix(40))")
        #expect(!isLost)
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
