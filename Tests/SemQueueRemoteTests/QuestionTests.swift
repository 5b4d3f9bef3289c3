import Glibc
import SemQueueTestSupport
import Testing

/// What is asked at a terminal while hosts are reached: one question at a time, and afterwards the terminal is as it was.
@Suite(.onHosts) struct QuestionTests {
    private let lab: TestLab
    private let client: TestHost

    /// Two hosts with semq, and a client whose key has a passphrase.
    init() throws {
        lab = try TestLab()
        client = try lab.client("one")
        for host in ["bench", "other"] {
            _ = try lab.host(host)
            let brought = try client.run("semq", "acquire", "-q", "lab@\(host):board.queue", "--", "true")
            try #require(brought.status == .exited(0), "\(brought.err)")
        }
        let encrypted = try client.shell("ssh-keygen -q -p -N 'open sesame' -f ~/.ssh/id_ed25519")
        try #require(encrypted.status == .exited(0), "\(encrypted.err)")
    }

    /// A terminal on which `semq` runs, and which tells at the end whether it is as before.
    /// - Parameter patiently: tells once that is so.
    static func terminal(_ client: TestHost, _ words: [String], patiently: Bool = false) throws -> Pty {
        let isAsBefore = #"[ "$(stty -g)" = "$before" ]"#
        let tells =
            patiently
            ? "until \(isAsBefore); do sleep 0.05; done; echo code $code, as before"
            : "if \(isAsBefore); then echo code $code, as before; else echo code $code, changed; fi"
        // A job of its own: Ctrl-C is for that, and the shell would follow it.
        let line = #"stty echo; export before=$(stty -g); set -m; trap : INT; "$@"; code=$?; "# + tells
        return try client.terminal(["sh", "-c", line, "sh"] + words)
    }

    /// The `semq` that deals with that semaphore.
    static func semq(_ client: TestHost, _ semaphore: String) throws -> pid_t {
        try #require(
            try client.processes().first {
                $0.words.first == "semq" && $0.words.dropFirst().first != "link"
                    && $0.words.contains { $0.hasSuffix(semaphore) }
            }
        ).pid
    }

    /// Whatever is asked of the terminal inside.
    private static let command = ["--", "sh", "-c", #"[ "$(stty -g)" = "$before" ] && echo in, as before"#]

    private func question(_ host: String) -> String {
        "(lab@\(host)) Passphrase for the key /root/.ssh/id_ed25519: "
    }

    // MARK: ends

    /// How `semq` comes to its end while it asks.
    enum End: String, CaseIterable {
        case limit, interrupt, terminate, hangUp, kill

        var signal: Int32? {
            switch self {
            case .limit, .interrupt: nil
            case .terminate: SIGTERM
            case .hangUp: SIGHUP
            case .kill: SIGKILL
            }
        }

        var code: Int32 { signal.map { 128 + $0 } ?? (self == .limit ? 75 : 130) }
    }

    @Test(arguments: Transport.allCases) func theTerminalIsPutBack(_ transport: Transport) throws {
        // With nobody left but ssh the question stands on.
        let ends = End.allCases.filter { transport == .own || $0 != .kill }
        var terminals: [(name: String, end: End, terminal: Pty)] = []
        func start(_ name: String, _ end: End, _ words: [String]) throws {
            let words = ["semq", words[0]] + words.dropFirst() + transport.options
            terminals.append((name, end, try Self.terminal(client, words, patiently: end == .kill)))
        }
        for end in ends {
            let name = "\(end).queue"
            try start(name, end, ["acquire", "lab@bench:\(name)"] + (end == .limit ? ["-w", "6"] : []))
        }
        for command in ["status"] + (transport == .own ? ["doctor"] : []) {
            try start("\(command).queue", .terminate, [command, "lab@bench:\(command).queue"])
        }
        for (name, end, terminal) in terminals {
            let asked = transport == .own ? question("bench") : "Enter passphrase for key '/root/.ssh/id_ed25519': "
            #expect(terminal.sees(asked), "\(name): \(terminal.everything)")
            // Half an answer, which is nobody else's.
            terminal.type("open")
            if let signal = end.signal { kill(try Self.semq(client, name), signal) }
            if end == .interrupt { terminal.type(Pty.interrupt) }
            #expect(terminal.sees("code \(end.code), as before"), "\(name): \(terminal.everything)")
        }
    }

    // MARK: Ctrl-Z

    /// One that read on would take the first of what is typed for the shell, and show the rest.
    @Test(arguments: [Transport.ssh.options, []]) func ctrlZStopsSSHAtItsQuestion(_ options: [String]) throws {
        // Where it is chosen by itself, it is semq that becomes it.
        let config = "printf 'Host bench\\n NoHostAuthenticationForLocalhost yes\\n' >>~/.ssh/config"
        if options.isEmpty { #expect(try client.shell(config).status == .exited(0)) }
        let bash = try client.terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"])
        let asked = "Enter passphrase for key '/root/.ssh/id_ed25519': "
        for round in 1...5 {
            let words = ["semq", "acquire"] + options.map { "'\($0)'" } + ["lab@bench:board.queue", "--"]
            bash.line((words + ["echo", "granted"]).joined(separator: " "))
            try #require(bash.sees(asked), "\(round): \(bash.everything)")
            bash.type(Pty.suspend)
            #expect(bash.sees("Stopped"), "\(round): \(bash.everything)")
            bash.line("echo typed")
            #expect(bash.sees("typed\r\n"), "\(round): \(bash.everything)")
            bash.line("fg")
            #expect(bash.sees(asked), "\(round): \(bash.everything)")
            bash.line("open sesame")
            #expect(bash.sees("granted"), "\(round): \(bash.everything)")
        }
    }

    // MARK: several

    /// Nothing comes between a question and its answer, which is that host's.
    @Test func oneAsksAtATime() throws {
        _ = try lab.host("down").drop()
        _ = try client.shell("printf 'Host down\\n ConnectTimeout 3\\n' >>~/.ssh/config")
        let hosts = ["bench", "other"]
        let queues = (hosts + ["down"]).map { "lab@\($0):board.queue" }
        let terminal = try Self.terminal(client, ["semq", "acquire", "--any"] + queues + Self.command)
        #expect(terminal.sees(") Passphrase for the key /root/.ssh/id_ed25519: "), "\(terminal.everything)")
        let first = try #require(hosts.first { terminal.everything.contains(question($0)) }, "\(terminal.everything)")
        // Neither the other question, nor, after 3 s, how the wait stands, and what became of the third host.
        let hasCome = Event.happens(within: 4.5) { !terminal.text.isEmpty }
        #expect(!hasCome, "\(terminal.everything)")
        terminal.line("close sesame")
        #expect(terminal.sees("\r\n(lab@\(first)) That was not it. Passphrase for the key "), "\(terminal.everything)")
        terminal.line("open sesame")
        #expect(terminal.sees("in, as before") && terminal.sees("code 0, as before"), "\(terminal.everything)")
        #expect(terminal.everything.contains("(left out)\r\n"), "\(terminal.everything)")
    }

    /// What is granted elsewhere meanwhile makes it idle.
    @Test func aGrantEndsTheQuestion() throws {
        let holder = try client.start(
            ["semq", "acquire", "/tmp/here.queue", "--", "sh", "-c", "echo in; exec sleep 600"])
        try #require(Event.happens { holder.out == "in\n" }, "\(holder.err)")
        let queues = ["lab@bench:board.queue", "/tmp/here.queue"]
        let terminal = try Self.terminal(client, ["semq", "acquire", "--any"] + queues + Self.command)
        #expect(terminal.sees(question("bench")), "\(terminal.everything)")
        kill(try #require(holder.inside), SIGTERM)
        #expect(terminal.sees("in, as before") && terminal.sees("code 0, as before"), "\(terminal.everything)")
    }

    @Test func ctrlCEndsAllThatAsk() throws {
        let queues = ["bench", "other"].map { "lab@\($0):board.queue" }
        let terminal = try Self.terminal(client, ["semq", "acquire", "--any"] + queues + Self.command)
        #expect(terminal.sees(") Passphrase for the key "), "\(terminal.everything)")
        terminal.type(Pty.interrupt)
        #expect(terminal.sees("code 130, as before"), "\(terminal.everything)")
    }
}
