import SemQueueTestSupport
import Testing

/// Log-in shells of all kinds, and what their start-up files print.
@Suite(.onHosts) struct ShellTests {
    /// The shells, and the file that each reads when it is given a command.
    private static let shells: [(path: String, file: String, package: String)] = [
        ("/bin/bash", ".bashrc", "bash"), ("/bin/zsh", ".zshenv", "zsh"),
        ("/usr/bin/fish", ".config/fish/config.fish", "fish"), ("/bin/tcsh", ".tcshrc", "tcsh"),
    ]

    /// What looks like an answer, and lacks the end of its line.
    private static func noise(_ bytes: Int) -> String {
        let line = "semq-agent nonce=0123 version=1 welcome to the bench"
        return (0..<(bytes / 64)).map { _ in "echo '\(line)           '\n" }.joined() + "printf 'no end of line'\n"
    }

    private func run(_ lab: TestLab, _ host: String, _ transport: Transport) throws -> Sandbox.Result {
        let client = try lab.client("one")
        let words = ["semq", "acquire", "lab@\(host):board.queue"] + transport.options
        return try client.start(words + ["--", "sh", "-c", "echo in; exit 7"]).wait()
    }

    /// The first brings semq there, which the shell has to let through too.
    @Test(arguments: ["/bin/bash", "/bin/dash", "/bin/zsh", "/usr/bin/fish", "/bin/tcsh"], Transport.allCases)
    func everyShellWill(_ shell: String, _ transport: Transport) throws {
        guard
            Machine.has(
                .program("zsh", package: "zsh"), .program("fish", package: "fish"), .program("tcsh", package: "tcsh"))
        else { return }
        let lab = try TestLab()
        let host = try lab.host("bench", HostOptions { $0.shell = shell })
        let result = try run(lab, "bench", transport)
        #expect(result.status == .exited(7) && result.out == "in\n", "\(result)")
        // Where bringing semq there takes longer than a second it says so.
        let said = result.err.replacing(#/semq: lab@bench: semq is being put there, \d+ of \d+ MiB\n/#, with: "")
        #expect(said == "semq: made the queue lab@bench:/home/lab/board.queue, concurrency 1\n")
        #expect(host.exists("/home/lab/board.queue"))
    }

    @Test(arguments: shells.map(\.path)) func aNoisyShellIsHeardOut(_ path: String) throws {
        let (_, file, package) = try #require(Self.shells.first { $0.path == path })
        guard Machine.has(.program(package, package: package)) else { return }
        let lab = try TestLab()
        _ = try lab.host(
            "bench",
            HostOptions {
                $0.shell = path
                $0.files = [file: Self.noise(60 << 10)]
            })
        let result = try run(lab, "bench", .own)
        #expect(result.status == .exited(7) && result.out == "in\n", "\(result)")
    }

    /// Not without end.
    @Test(arguments: shells.map(\.path)) func aShellThatPrintsTooMuchIsNot(_ path: String) throws {
        let (_, file, package) = try #require(Self.shells.first { $0.path == path })
        guard Machine.has(.program(package, package: package)) else { return }
        let lab = try TestLab()
        _ = try lab.host(
            "bench",
            HostOptions {
                $0.shell = path
                $0.files = [file: Self.noise(70 << 10)]
            })
        let result = try run(lab, "bench", .own)
        #expect(result.status == .exited(69), "\(result)")
        #expect(result.err.hasPrefix("semq: lab@bench: prints more than 64 KiB before semq answers"), "\(result.err)")
        #expect(result.err.contains("welcome to the bench"), "\(result.err)")
    }

    /// What a start-up file says on standard error, what it reads, and where it goes.
    @Test func aStartUpFileThatDoesMore() throws {
        let lab = try TestLab()
        _ = try lab.host(
            "bench",
            HostOptions { $0.files = [".bashrc": "echo warning >&2; cat <<<x; trap 'echo bye' EXIT; umask 077\n"] })
        let result = try run(lab, "bench", .own)
        #expect(result.status == .exited(7) && result.out == "in\n", "\(result)")
        #expect(!result.err.contains("warning"))
    }

    /// Somebody has to tire of it.
    @Test(arguments: Transport.allCases) func aStartUpFileThatHangs(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("bench", HostOptions { $0.files = [".bashrc": "echo welcome; exec sleep 1000\n"] })
        let client = try lab.client("one")
        let words = ["semq", "acquire", "lab@bench:board.queue"] + transport.options
        let limited = try client.start(words + ["-w", "2", "--", "true"]).wait()
        #expect(limited.status == .exited(75), "\(limited)")
        let reason = "no semq there has answered in that time; does the log-in shell there wait for something?"
        #expect(limited.err.contains(reason), "\(limited)")
        let running = try client.start(words + ["--", "true"])
        #expect(Event.happens(within: 90) { running.hasEnded })
        let result = running.wait()
        #expect(result.status == .exited(69), "\(result)")
        #expect(result.err.contains("no semq has answered within 60 s") && result.err.contains("welcome"))
        #expect(result.err.contains("If not, delete ~/.cache/semq there"), "\(result.err)")
    }
}
