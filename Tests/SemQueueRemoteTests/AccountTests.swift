import Glibc
import SemQueueTestSupport
import Testing

/// Accounts that don't let in, or not for this; names that don't exist; keys that take more than a file.
@Suite(.onHosts) struct AccountTests {
    @Test(arguments: Transport.allCases) func refusals(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("nologin", HostOptions { $0.shell = "/usr/sbin/nologin" })
        _ = try lab.host("false", HostOptions { $0.shell = "/bin/false" })
        _ = try lab.host("sftp", HostOptions { $0.sshd = ["Match User lab", "ForceCommand internal-sftp"] })
        _ = try lab.host("nokey", HostOptions { $0.authorizedKeys = "" })
        _ = try lab.host("down").sshd(.stop)
        let client = try lab.client("one")
        let cases: [(address: String, code: Int32, text: String)] = [
            ("lab@nologin", 69, "This account is currently not available."),
            ("lab@false", 69, "commands can't be run there"),
            ("lab@sftp", 69, "This service allows sftp connections only."),
            ("lab@nokey", 77, transport == .own ? "nokey:22 does not let lab log in" : "Permission denied"),
            ("nobodythere@sftp", 77, transport == .own ? "does not let nobodythere log in" : "Permission denied"),
            ("lab@nohost", 69, "Name or service not known: check the name, and the name server\n"),
            ("lab@down", 69, "refused"),
        ]
        for (address, code, text) in cases {
            let words = ["semq", "acquire", "\(address):board.queue"] + transport.options + ["--", "true"]
            let result = try client.start(words).wait()
            #expect(result.status == .exited(code), "\(address): \(result.err)")
            #expect(result.err.hasPrefix("semq: \(address): ") && result.err.contains(text), "\(result.err)")
            #expect(result.err.split(separator: "\n").count == 1, "\(result.err)")
        }
    }

    // MARK: keys

    private func acquire(_ options: [String], at host: String = "lab@bench") -> [String] {
        ["semq", "acquire", "-q", "\(host):board.queue"] + options + ["--", "echo", "in"]
    }

    private func expectRefused(_ running: Running, _ text: String, _ host: String = "lab@bench") {
        let result = running.wait()
        #expect(result.status == .exited(77) && result.out == "", "\(result)")
        #expect(result.err.hasPrefix("semq: \(host): ") && result.err.contains(text), "\(result.err)")
        #expect(result.err.split(separator: "\n").count == 1, "\(result.err)")
    }

    private func expectWorks(_ running: Running) {
        let result = running.wait()
        #expect(result == .init(status: .exited(0), out: "in\n", err: ""))
    }

    /// It is asked for by a program, on the terminal, or not at all.
    @Test(arguments: Transport.allCases) func anEncryptedKey(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("bench")
        let client = try lab.client("one")
        let words = acquire(transport.options)
        // Brings semq there, so that each is asked once from then on.
        try expectWorks(client.start(words))
        let encrypted = try client.shell("ssh-keygen -q -p -N 'open sesame' -f ~/.ssh/id_ed25519")
        try #require(encrypted.status == .exited(0), "\(encrypted.err)")

        let isOwn = transport == .own
        let key = "the passphrase of /root/.ssh/id_ed25519"
        try expectRefused(
            client.start(words), isOwn ? "\(key) was not given; ssh-add asks for it once for all" : "Permission denied")
        try expectRefused(
            client.start(["env"] + client.answering("close sesame") + words),
            isOwn ? "\(key) was wrong" : "Permission denied")
        let asked = client.asked.count
        try expectWorks(client.start(["env"] + client.answering("open sesame") + words))
        #expect(client.asked.count == asked + 1)
        #expect(client.asked.last?.contains("/root/.ssh/id_ed25519") == true)

        let terminal = try client.terminal(["sh", "-c", "stty echo; exec \"$@\"", "sh"] + words)
        for answer in ["close sesame", "open sesame"] {
            #expect(terminal.sees("assphrase for ") && terminal.sees(": "), "\(terminal.everything)")
            terminal.line(answer)
        }
        #expect(terminal.sees("in\r\n") && terminal.wait() == .exited(0), "\(terminal.everything)")
        #expect(!terminal.everything.contains("sesame"), "\(terminal.everything)")
    }

    /// The server's patience ends before the last (MaxAuthTries).
    @Test(arguments: Transport.allCases) func anAgentWithNineKeys(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("bench")
        let client = try lab.client("one")
        let line = """
            cd && export SSH_AUTH_SOCK=/tmp/agent && echo IdentityAgent /tmp/agent >>.ssh/config && ssh-agent -a /tmp/agent
            for n in 1 2 3 4 5 6 7 8; do ssh-keygen -q -t ed25519 -N '' -f /tmp/key$n && ssh-add -q /tmp/key$n; done
            ssh-add -q && rm .ssh/id_ed25519
            """
        let filled = try client.shell(line)
        try #require(filled.status == .exited(0), "\(filled.err)")
        // That it is the one is told by the file with its public half.
        try expectWorks(client.start(acquire(transport.options)))
        _ = try client.shell("rm ~/.ssh/id_ed25519.pub")
        try expectRefused(
            client.start(acquire(transport.options)),
            "Too many authentication failures; if an agent has many keys, name one with IdentityFile")
    }

    /// A key in a file serves all the same, without `ssh`, which waits for the agent.
    @Test(arguments: Transport.allCases) func anAgentThatHangs(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("bench")
        let client = try lab.client("one")
        let agent = try client.start(["ssh-agent", "-D", "-a", "/tmp/agent"])
        try #require(Event.happens { client.exists("/tmp/agent") }, "\(agent.err)")
        let config = "IdentityAgent /tmp/agent\nHost keyless\n HostName bench\n IdentityFile /root/none"
        let prepared = try client.shell("SSH_AUTH_SOCK=/tmp/agent ssh-add -q && echo '\(config)' >>~/.ssh/config")
        try #require(prepared.status == .exited(0), "\(prepared.err)")
        kill(try #require(agent.inside), SIGSTOP)
        let limited = try client.start(acquire(["-w", "2"] + transport.options))
        let hosts = transport == .own ? ["lab@bench", "lab@keyless"] : []
        let others = try hosts.map { try client.start(acquire([], at: $0)) }
        #expect(limited.wait().status == .exited(75), "\(limited.err)")
        guard !others.isEmpty else { return }
        expectWorks(others[0])
        expectRefused(others[1], "the agent at /tmp/agent does not answer within 15", "lab@keyless")
    }

    @Test(arguments: Transport.allCases) func noKeyAtAll(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("bench")
        let client = try lab.client("one")
        _ = try client.shell("rm ~/.ssh/id_*")
        let text = transport == .own ? "ssh-keygen makes one, ssh-copy-id lets it in" : "Permission denied (publickey)"
        try expectRefused(client.start(acquire(transport.options)), text)
    }
}
