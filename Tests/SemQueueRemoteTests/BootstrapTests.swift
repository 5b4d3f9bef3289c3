import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// A host that never saw semq, and what may be in the way when it gets it.
@Suite(.onHosts) struct BootstrapTests {
    private let lab: TestLab
    private let bench: TestHost
    private let client: TestHost

    init() throws {
        lab = try TestLab()
        bench = try lab.host("bench")
        client = try lab.client("one")
    }

    private func start(_ client: TestHost, at queue: String = "lab@bench:board.queue") throws -> Running {
        try client.start(["semq", "acquire", "-q", queue, "--", "sh", "-c", "echo in; exit 7"])
    }

    private func expectWorks(_ comment: String = "") throws {
        let result = try start(client).wait()
        #expect(result.status == .exited(7) && result.out == "in\n", "\(comment): \(result.err)")
    }

    private func expectRefused(_ reason: String) throws {
        let result = try start(client).wait()
        #expect(result.status == .exited(69) && result.out == "", "\(result)")
        #expect(result.err.hasPrefix("semq: lab@bench: ") && result.err.contains(reason), "\(result.err)")
        #expect(result.err.contains("--no-bootstrap"), "the way out: \(result.err)")
        #expect(!result.err.contains("semq-"), "no word of the protocol: \(result.err)")
        #expect(try cached() == [], "nothing half-done stays behind")
    }

    /// The files below the cache folder there.
    private func cached() throws -> [String] {
        try bench.shell("find /home/lab/.cache/semq -type f 2>/dev/null; true").out.split(separator: "\n").map(
            String.init)
    }

    private func run(_ line: String) throws {
        let result = try bench.shell(line)
        try #require(result.status == .exited(0), "\(line): \(result.err)")
    }

    private func mount(_ options: String) throws {
        try run(
            "mkdir -p /home/lab/.cache && chown lab: /home/lab/.cache && mount -t tmpfs -o \(options) tmpfs /home/lab/.cache && chown lab: /home/lab/.cache"
        )
    }

    /// Over a way that stops for a while in the middle of the file.
    @Test func whoWaitsForTheUploadIsTold() throws {
        let way = """
            #!/bin/sh
            case $* in
            *semq-uploaded*) { head -c 3000000 > /tmp/first; sleep 1.5; cat /tmp/first -; } | ssh "$@" | cat ;;
            *) exec ssh "$@" ;;
            esac
            """
        _ = try client.shell("cat > /tmp/way <<'end'\n\(way)\nend\nchmod +x /tmp/way")
        let result = try client.start(["semq", "acquire", "--rsh", "/tmp/way", "lab@bench:board.queue", "--", "true"])
            .wait()
        #expect(result.status == .exited(0), "\(result)")
        let told = try #require(
            result.err.firstMatch(of: #/semq: lab@bench: semq is being put there, (\d+) of (\d+) MiB\n/#))
        #expect((0...Int(told.2)!).contains(Int(told.1)!), "\(told.0)")
        let again = try client.start(["semq", "acquire", "--rsh", "/tmp/way", "lab@bench:board.queue", "--", "true"])
        #expect(!again.wait().err.contains("being put"), "it is there")
    }

    /// Ctrl-Z in the middle of the file.
    @Test func whoWaitsForTheUploadCanBeStopped() throws {
        let proxy = try lab.proxy("way", to: bench)
        try proxy.rules(.init(.pause, .up, at: .encrypted, after: 2_000_000))
        let running = try client.start(["semq", "acquire", "-q", "lab@way:board.queue", "--", "true"])
        #expect(Event.happens { (try? proxy.connections().last?.state) == "paused" }, "\(running.err)")
        let semq = try #require(running.inside)
        func state() -> String? { (try? client.processes())?.first { $0.pid == semq }?.state }
        kill(semq, SIGTSTP)
        #expect(Event.happens { state() == "T" })
        // What runs it on the host has stopped with it.
        running.send(SIGCONT)
        kill(semq, SIGCONT)
        try proxy.act(.resume)
        #expect(running.wait().status == .exited(0), "\(running.err)")
    }

    /// The connection falls silent in the middle of the file.
    @Test(arguments: Transport.allCases) func theHostIsGoneInTheMiddle(_ transport: Transport) throws {
        let proxy = try lab.proxy("way", to: bench)
        try proxy.rules(.init(.drop, .up, at: .encrypted, after: 2_000_000))
        func start(_ options: String...) throws -> Running {
            try client.start(
                ["semq", "acquire"] + transport.options + options + ["lab@way:board.queue", "--", "true"])
        }
        let limited = try start("-w", "6")
        let patient = try start()
        #expect(Event.happens { limited.hasEnded })
        let late = limited.wait()
        #expect(late.status == .exited(75), "\(late)")
        #expect(late.err.contains("not granted in time: semq was still being put onto the host"), "\(late.err)")
        #expect(Event.happens(within: 100) { patient.hasEnded })
        let result = patient.wait()
        let said = transport == .own ? "the connection was lost while semq was being put there" : "can't be reached"
        #expect(result.status == .exited(69) && result.err.contains(said), "\(result)")
        try proxy.rules()
        #expect(try start().wait().status == .exited(0))
    }

    @Test func itIsThereOnceAndOnlyForItsUser() throws {
        /// Each may ask for a passphrase.
        func logIns() -> Int {
            bench.read("/var/log/sshd.log").split(whereSeparator: \.isNewline).count {
                $0.contains("Accepted publickey")
            }
        }
        try expectWorks()
        #expect(logIns() == 2, "one that finds nothing, and one for all the rest")
        let files = try cached()
        try #require(files.count == 1)
        #expect(try bench.shell("stat -c '%U %a' \(files[0])").out == "lab 700\n")
        let before = try bench.shell("stat -c %i \(files[0])").out
        try expectWorks("again")
        #expect(logIns() == 3)
        #expect(try bench.shell("stat -c %i \(files[0])").out == before, "it is not sent twice")
    }

    @Test func aFullDisk() throws {
        try mount("size=1m")
        try expectRefused("No space left on device")
        try run("umount /home/lab/.cache")
        try expectWorks()
    }

    @Test func aFileSystemThatExecutesNothing() throws {
        try mount("noexec")
        try expectRefused("Permission denied")
    }

    @Test func aHomeThatCannotBeWrittenTo() throws {
        try run("chown root: /home/lab && chmod 555 /home/lab")
        try expectRefused("Permission denied")
    }

    @Test func aFileInTheWay() throws {
        try run("mkdir /home/lab/.cache && : > /home/lab/.cache/semq && chown -R lab: /home/lab/.cache")
        let result = try start(client).wait()
        #expect(result.status == .exited(69), "\(result)")
        let why = #/semq can't be put into ~/.cache/semq there: mkdir: cannot create directory [^;]*; put that right, /#
        #expect(result.err.contains(why), "\(result.err)")
    }

    @Test func anotherProcessor() throws {
        try run("printf '#!/bin/sh\\necho Linux aarch64\\n' > /usr/local/bin/uname && chmod 755 /usr/local/bin/uname")
        let refused = try start(client).wait()
        #expect(refused.status == .exited(69), "\(refused)")
        #expect(
            refused.err.contains("is Linux aarch64") && refused.err.contains("scripts/build-agent"), "\(refused.err)")
        // Told from this machine's by a byte behind its end.
        let other = "/usr/local/share/semq/linux-aarch64/semq"
        let made = try client.shell(
            "mkdir -p $(dirname \(other)) && cp /usr/local/bin/semq \(other) && echo other >> \(other)")
        try #require(made.status == .exited(0), "\(made.err)")
        try expectWorks()
        #expect(try bench.shell("tail -c 6 \(try #require(try cached().first))").out == "other\n")
    }

    /// What an earlier upload has left, or somebody has done to it.
    @Test(arguments: [
        "truncate -s 100000", "truncate -s 0", "chmod 000", "chmod 600", "printf garbage >", "rm -f",
    ])
    func whatIsThereIsDamaged(_ damage: String) throws {
        try expectWorks()
        let file = try #require(try cached().first)
        // A program that runs can't be written to: its agent may keep its last word for a while.
        try run("until ! fuser -s \(file); do sleep 0.1; done; \(damage) \(file)")
        try expectWorks(damage)
    }

    /// The connection ends in the middle of it.
    @Test(arguments: [TestProxy.Action.reset, .close]) func aTruncatedUpload(_ action: TestProxy.Action) throws {
        let way = try lab.proxy("way", to: bench)
        try way.rules(.init(action, .up, at: .encrypted, after: 3 << 20))
        let result = try start(client, at: "lab@way:board.queue").wait()
        #expect(result.status == .exited(69) && result.out == "", "\(result)")
        #expect(Scene.comesToBe { (try? cached()) == [] }, "nothing half-done stays behind")
        try way.rules()
        let again = try start(client, at: "lab@way:board.queue").wait()
        #expect(again.status == .exited(7), "\(again.err)")
    }

    @Test func severalAtOnce() throws {
        let clients = [client, try lab.client("two"), try lab.client("three")]
        let runs = try (0..<6).map { try start(clients[$0 % clients.count]) }
        for run in runs {
            let result = run.wait()
            #expect(result.status == .exited(7) && result.out == "in\n", "\(result.err)")
        }
        #expect(try cached().count == 1)
    }
}
