import SemQueueTestSupport
import Testing

/// What `semq` says to words that make no sense, and what it says about itself.
@Suite struct UsageTests {
    private func run(_ words: [String], in sandbox: Sandbox) throws -> Sandbox.Result {
        try sandbox.start([Sandbox.binary] + words).wait()
    }

    static let misuses: [([String], String)] = [
        (["nosuch"], "there is no command ‘nosuch’; see: semq --help"),
        (["--nosuch"], "‘--nosuch’ is no option; see: semq --help"),
        (
            ["acquire", "--con", "1", "q"],
            "acquire: ‘--con’ may mean --conflict-exit-code or --concurrency; see: semq acquire --help"
        ),
        (["acquire", "--quiet=3", "q"], "acquire: ‘--quiet=3’: --quiet takes no value; see: semq acquire --help"),
        (["status", "--wat=", "q"], "status: ‘--wat=’: --watch takes no value; see: semq status --help"),
        (["help", "nosuch"], "there is no command ‘nosuch’; see: semq --help"),
        (["acquire"], "acquire: name the semaphore, such as board.queue; see: semq acquire --help"),
        (["acquire", "--", "true"], "acquire: name the semaphore, such as board.queue; see: semq acquire --help"),
        (["acquire", "q", "--"], "acquire: no command stands behind --; leave -- out to hold without one"),
        (
            ["acquire", "q", "true"],
            "acquire: ‘true’ would be a second semaphore: for several say --any or --all; "
                + "a command goes behind --, as in: semq acquire q -- true"
        ),
        (["acquire", "--any", "--all", "q", "r"], "acquire: --any and --all exclude each other"),
        (["acquire", "-c", "true", "q", "--", "true"], "acquire: a command is given twice, by -c and behind --"),
        (["acquire", "", "--", "true"], "a semaphore's name is empty; name a file"),
        (
            ["acquire", "host:", "--", "true"],
            "host:: wants a host and a path, as in user@host:path or ssh://user@host:22/path; a local file is ./host:"
        ),
        (
            ["acquire", ":path", "--", "true"],
            ":path: wants a host and a path, as in user@host:path or ssh://user@host:22/path; a local file is ./:path"
        ),
        (
            ["acquire", "ssh://host", "--", "true"],
            "ssh://host: wants a host and a path, as in user@host:path or ssh://user@host:22/path; a local file is ./ssh://host"
        ),
        (
            ["acquire", "ssh://host:99999/q", "--", "true"],
            "ssh://host:99999/q: its port is a number from 1 to 65535, not “99999”; a local file is ./ssh://host:99999/q"
        ),
        (
            ["acquire", "ssh://host:abc/q", "--", "true"],
            "ssh://host:abc/q: its port is a number from 1 to 65535, not “abc”; a local file is ./ssh://host:abc/q"
        ),
        (
            ["acquire", "no body@host:q", "--", "true"],
            "no body@host:q: its user and host have no blanks in them; a local file is ./no body@host:q"
        ),
        (["status"], "status: name a semaphore, such as board.queue; see: semq status --help"),
        (["set"], "set: name one semaphore, such as board.queue; see: semq set --help"),
        (["set", "q", "r", "--resume"], "set: name one semaphore, such as board.queue; see: semq set --help"),
        (["set", "q"], "set: say --concurrency N, --pause REASON or --resume"),
        (["set", "q", "--pause", "x", "--resume"], "set: --pause and --resume exclude each other"),
        (["set", "q", "--pause", " "], "set: --pause wants a reason, for those who wait"),
        (["release"], "release: name one semaphore, such as board.queue; see: semq release --help"),
        (
            ["release", "q", "--reason", "x"],
            "release: say whose turn: --ticket N, as semq status q shows it"
        ),
        (["release", "q", "--ticket", "1"], "release: say --reason TEXT; it is shown to whoever loses the turn"),
        (
            ["release", "q", "--ticket", "1", "--reason", "  "],
            "release: say --reason TEXT; it is shown to whoever loses the turn"
        ),
        (["history"], "history: name one semaphore, such as board.queue; see: semq history --help"),
        (["history", "q", "r"], "history: name one semaphore, such as board.queue; see: semq history --help"),
        (["doctor", "q", "r"], "doctor: name one semaphore at most; see: semq doctor --help"),
    ]

    @Test(arguments: misuses)
    func misuseIsRefusedWithASentence(_ words: [String], _ sentence: String) throws {
        let sandbox = try Sandbox()
        let result = try run(words, in: sandbox)
        #expect(result == .init(status: .exited(64), out: "", err: "semq: \(sentence)\n"))
        #expect(!sandbox.exists("q"), "nothing is made")
    }

    @Test(arguments: ["acquire", "status", "set", "release", "history", "doctor"])
    func anUnknownOptionIsNamed(_ command: String) throws {
        let sandbox = try Sandbox()
        for option in ["--bogus", "-Z", "--bogus=1"] {
            let result = try run([command, option, "q"], in: sandbox)
            let sentence = "semq: \(command): ‘\(option)’ is no option of it; see: semq \(command) --help\n"
            #expect(result == .init(status: .exited(64), out: "", err: sentence))
        }
    }

    @Test(arguments: [
        ("acquire", "-w"), ("acquire", "--wait"), ("acquire", "--timeout"), ("acquire", "-E"), ("acquire", "-c"),
        ("acquire", "--conflict-exit-code"), ("acquire", "--command"), ("acquire", "-m"), ("acquire", "--description"),
        ("acquire", "--priority"), ("acquire", "--concurrency"), ("set", "--concurrency"), ("set", "--pause"),
        ("release", "--ticket"), ("release", "--reason"), ("release", "--grace"),
    ])
    func aMissingValueIsAskedFor(_ command: String, _ option: String) throws {
        let result = try run([command, "q", option], in: Sandbox())
        let sentence = "semq: \(command): ‘\(option)’ wants a value; see: semq \(command) --help\n"
        #expect(result == .init(status: .exited(64), out: "", err: sentence))
    }

    static let values: [(command: [String], option: String, bad: [String], wants: String)] = [
        (
            ["acquire"], "--wait", ["nan", "-1", "inf", "-inf", "", "soon", "1s", "1e999", "0x5"],
            "a number of seconds, 0 or more"
        ),
        (["acquire"], "--timeout", ["nan", "-0.5", ""], "a number of seconds, 0 or more"),
        (["acquire"], "--conflict-exit-code", ["256", "-1", "x", ""], "an exit code from 0 to 255"),
        (["acquire"], "--priority", ["1001", "-1001", "x", "1.5", ""], "a number from -1000 to 1000"),
        (
            ["acquire"], "--concurrency", ["0", "-1", "1025", "99999999", "99999999999999999999", "x", ""],
            "a number from 1 to 1024"
        ),
        (["set"], "--concurrency", ["0", "-1", "1025", "x"], "a number from 1 to 1024"),
        (["release", "--reason", "x"], "--ticket", ["0", "-3", "x", ""], "a ticket number as `semq status` shows it"),
        (
            ["release", "--reason", "x", "--ticket", "1"], "--grace", ["nan", "-1", "inf", "x"],
            "a number of seconds, 0 or more"
        ),
    ]

    @Test(arguments: values)
    func aBadValueIsRefusedWithWhatIsWanted(
        _ command: [String], _ option: String, _ bad: [String], _ wants: String
    ) throws {
        let sandbox = try Sandbox()
        for value in bad {
            let result = try run(
                command + ["q", option, value, "--", "true"].dropLast(command[0] == "acquire" ? 0 : 2), in: sandbox)
            #expect(result == .init(status: .exited(64), out: "", err: "semq: \(option) \(value): wants \(wants)\n"))
        }
        #expect(!sandbox.exists("q"), "nothing is made")
    }

    @Test func aNameWithAColonBehindASlashIsALocalFile() throws {
        let sandbox = try Sandbox()
        #expect(try run(["acquire", "-q", "./host:path", "--", "true"], in: sandbox).status == .exited(0))
        #expect(sandbox.exists("host:path"))
    }

    @Test(arguments: [["status"], ["history"], ["set", "--resume"], ["release", "--ticket", "1", "--reason", "x"]])
    func aQueueThatIsNotThereIsNotMadeInPassing(_ words: [String]) throws {
        let sandbox = try Sandbox()
        let result = try run(words + ["q"], in: sandbox)
        let sentence = "semq: q: there is no such queue; `semq acquire` makes one\n"
        #expect(result == .init(status: .exited(73), out: "", err: sentence))
        #expect(!sandbox.exists("q"))
    }

    @Test func withoutWordsTheOverviewGoesToStandardError() throws {
        let sandbox = try Sandbox()
        let result = try run([], in: sandbox)
        #expect(result.status == .exited(64))
        #expect(result.out == "")
        #expect(result.err == (try run(["--help"], in: sandbox).out))
        for command in ["acquire", "status", "set", "release", "history", "doctor"] {
            #expect(result.err.contains("\n  \(command) "))
        }
    }

    @Test func theVersionIsPrinted() throws {
        for word in ["--version", "-V"] {
            let result = try run([word], in: Sandbox())
            #expect(result.status == .exited(0))
            #expect(result.out.wholeMatch(of: /semq \d+\.\d+\.\d+\n/) != nil)
            #expect(result.err == "")
        }
    }

    @Test func twoDashesMayBeTheValueOfAnOption() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.semq("acquire", "-q", "board.queue", "-m", "--").out.hasPrefix("acquired board.queue "))
        #expect(try sandbox.semq("acquire", "-q", "board.queue", "-m", "--", "--", "echo", "--", "a").out == "-- a\n")
    }

    /// As it stands in the environment of wrappers that leave it out.
    @Test func anEmptyVariableNamesNoProgram() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell("SEMQ_RSH= semq acquire -n ssh://127.0.0.1:1/q -- true")
        #expect(result.status == .exited(69))
        #expect(result.err.contains("refused"), "\(result.err)")
        let named = try sandbox.shell("semq acquire -n --rsh '' ssh://127.0.0.1:1/q -- true")
        #expect(named.status == .exited(64) && named.err.contains("wants a program such as ssh"), "\(named.err)")
    }
}
