import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// What libssh2 can't do: `ssh` is chosen by itself, and `-v` says why.
@Suite(.onHosts) struct FallbackTests {
    /// Why the host, the user's keys or the configuration need `ssh`.
    enum Reason: String, CaseIterable, CustomTestStringConvertible {
        case rsaKey, agentsRSAKey, foreignCipher, certificate, securityKey
        case rsaHostKey, hostCertificate, onlyNewerMACs
        case password, passwordWithoutKey, keyAndPassword, keyAndKeyboard
        case proxyCommand

        var testDescription: String { rawValue }
    }

    private static let secret = "open sesame"

    private let lab: TestLab
    private let client: TestHost

    init() throws {
        lab = try TestLab()
        client = try lab.client("one")
    }

    // MARK: reasons

    /// Makes the host and changes the client. Returns what `-v` says.
    private func arrange(_ reason: Reason) throws -> String {
        switch reason {
        case .rsaKey:
            try letIn(bench(), key("rsa"))
            return "bench:22: /root/.ssh/id_rsa is a key that libssh2 can't use (ssh-rsa)"
        case .agentsRSAKey:
            // Nobody but the agent has it.
            try letIn(bench(), key("rsa"))
            try run("ssh-agent -a /tmp/agent >/dev/null && echo IdentityAgent /tmp/agent >>~/.ssh/config")
            try run("SSH_AUTH_SOCK=/tmp/agent ssh-add -q && rm ~/.ssh/id_rsa*")
            return "bench:22 took none of the keys that libssh2 can use; left is the agent's RSA key root@one, "
                + "which only ssh can use"
        case .foreignCipher:
            _ = try bench()
            try run("ssh-keygen -q -p -f ~/.ssh/id_ed25519 -Z aes256-gcm@openssh.com -N '\(Self.secret)'")
            return "bench:22 took none of the keys that libssh2 can use; left is the key /root/.ssh/id_ed25519, "
                + "which is encrypted with aes256-gcm@openssh.com, which only ssh can use"
        case .certificate:
            let bench = try bench {
                $0.authorizedKeys = ""
                $0.sshd = ["TrustedUserCAKeys /etc/ssh/authority.pub"]
            }
            try bench.put(client.root + authority(), at: "/etc/ssh/authority.pub")
            try run("ssh-keygen -q -s /tmp/authority -I me -n lab ~/.ssh/id_ed25519.pub")
            return "bench:22: /root/.ssh/id_ed25519-cert.pub is a certificate"
        case .securityKey:
            try client.put(Sandbox.root + "/Tests/Support/hosts/token.c", at: "/tmp/token.c")
            try run("cc -shared -fPIC -o /usr/local/lib/token.so /tmp/token.c -lcrypto")
            try letIn(bench(), key("ed25519-sk", "-w /usr/local/lib/token.so"))
            try run("echo SecurityKeyProvider /usr/local/lib/token.so >>~/.ssh/config")
            return "bench:22: /root/.ssh/id_ed25519_sk is a key that libssh2 can't use (sk-ssh-ed25519@openssh.com)"
        case .rsaHostKey:
            _ = try bench { $0.hostKeys = ["rsa"] }
            return "of bench only the RSA key is known (/root/.ssh/known_hosts:1), which libssh2 can't check"
        case .hostCertificate:
            let bench = try bench { $0.hostKeys = ["ed25519"] }
            let authority = try authority()
            try bench.put(client.root + "/tmp/authority", at: "/tmp/authority")
            let signed = "ssh-keygen -q -s /tmp/authority -I bench -h -n bench /etc/ssh/semq_host_ed25519.pub"
            let made = try bench.shell(
                "ssh-keygen -y -f /etc/ssh/semq_host_ed25519 >/etc/ssh/semq_host_ed25519.pub && \(signed)")
            try #require(made.status == .exited(0), "\(made.err)")
            try bench.sshd(.restart, configuration: ["HostCertificate /etc/ssh/semq_host_ed25519-cert.pub"])
            try run("echo @cert-authority bench $(cat \(authority)) >~/.ssh/known_hosts")
            return "/root/.ssh/known_hosts:1 trusts a certificate authority for bench, and libssh2 can't check "
                + "certificates"
        case .onlyNewerMACs:
            // libssh2 1.11 has others that encrypt first.
            _ = try bench { $0.sshd = ["Ciphers aes256-ctr", "MACs umac-128-etm@openssh.com"] }
            return "libssh2 and bench:22 have no key exchange, cipher, MAC or type of host key in common"
        case .password:
            try setPassword(bench { ($0.sshd, $0.authorizedKeys) = (["PasswordAuthentication yes"], "") })
            return "bench:22 took no key and also takes password, which only ssh can do"
        case .passwordWithoutKey:
            try setPassword(bench { $0.sshd = ["PasswordAuthentication yes"] })
            try run("rm ~/.ssh/id_*")
            return "there is no key for bench:22, but it also takes password, which only ssh can do"
        case .keyAndPassword:
            let lines = ["PasswordAuthentication yes", "AuthenticationMethods publickey,password"]
            try setPassword(bench { $0.sshd = lines })
            return "bench:22 wants more than a key (password), which only ssh can do"
        case .keyAndKeyboard:
            let methods = "AuthenticationMethods publickey,keyboard-interactive"
            let bench = try bench { $0.sshd = ["UsePAM yes", "KbdInteractiveAuthentication yes", methods] }
            try setPassword(bench)
            let rules = #"auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n"#
            _ = try bench.shell("printf '\(rules)' >/etc/pam.d/sshd")
            return "bench:22 wants more than a key (keyboard-interactive), which only ssh can do"
        case .proxyCommand:
            _ = try bench()
            try run(#"printf 'Host bench\n ProxyCommand ssh -W %%h:%%p root@bench-6\n' >>~/.ssh/config"#)
            return "bench:22: ProxyCommand is set (ssh -W %h:%p root@bench-6)"
        }
    }

    private func bench(_ change: (inout HostOptions) -> Void = { _ in }) throws -> TestHost {
        try lab.host("bench", HostOptions(change))
    }

    /// Runs a line of shell on the client.
    private func run(_ line: String) throws {
        let result = try client.shell(line)
        try #require(result.status == .exited(0), "\(line): \(result.err)")
    }

    /// The user's only key from now on; returns the file with its public half.
    private func key(_ type: String, _ options: String = "") throws -> String {
        let file = "/root/.ssh/id_\(type.replacing("-", with: "_"))"
        try run("rm ~/.ssh/id_*; ssh-keygen -q -t \(type) -N '' -f \(file) \(options)")
        return "\(file).pub"
    }

    private func letIn(_ bench: TestHost, _ file: String) throws {
        try bench.put(client.root + file, at: "/home/lab/.ssh/authorized_keys")
    }

    /// Makes who signs certificates; returns the file with the public half.
    private func authority() throws -> String {
        try run("ssh-keygen -q -t ed25519 -N '' -f /tmp/authority")
        return "/tmp/authority.pub"
    }

    private func setPassword(_ bench: TestHost) throws {
        let set = try bench.shell("usermod -p $(openssl passwd -6 '\(Self.secret)') lab")
        try #require(set.status == .exited(0), "\(set.err)")
    }

    // MARK: tests

    @Test(arguments: Reason.allCases) func sshIsChosen(_ reason: Reason) throws {
        let why = try arrange(reason)
        let words = ["semq", "acquire", "-v", "lab@bench:board.queue", "--", "sh", "-c", "echo in; exit 7"]
        let result = try client.start(["env"] + client.answering(Self.secret) + words).wait()
        #expect(result.status == .exited(7) && result.out == "in\n", "\(result)")
        #expect(result.err.contains("semq: \(why); by way of ssh\n"), "\(result.err)")
        #expect(!result.err.contains("by libssh2"), "\(result.err)")
        let question: String? =
            switch reason {
            case .password, .passwordWithoutKey, .keyAndPassword: "lab@bench's password: "
            case .keyAndKeyboard: "(lab@bench) Password: "
            case .foreignCipher: "Enter passphrase for key '/root/.ssh/id_ed25519': "
            case .securityKey: "Confirm user presence for key ED25519-SK SHA256:"
            default: nil
            }
        // Once to find that semq is missing there, and once to bring it.
        #expect(client.asked.count == (question == nil ? 0 : 2), "\(client.asked)")
        #expect(client.asked.allSatisfy { $0.hasPrefix(question ?? "none") }, "\(client.asked)")
    }

    /// The server has refused them already, and has patience for a few only.
    @Test func sshDoesNotOfferTheKeysAgain() throws {
        let bench = try bench { ($0.sshd, $0.authorizedKeys) = (["PasswordAuthentication yes"], "") }
        try setPassword(bench)
        let words = ["semq", "acquire", "-q", "lab@bench:board.queue", "--", "true"]
        let result = try client.start(["env"] + client.answering(Self.secret) + words).wait()
        #expect(result.status == .exited(0), "\(result)")
        #expect(logged("Accepted password for lab", on: bench) == 2)
        #expect(logged("Failed publickey for lab", on: bench) == 2)
    }

    /// How often sshd says so.
    private func logged(_ text: String, on bench: TestHost) -> Int {
        bench.read("/var/log/sshd.log").split(whereSeparator: \.isNewline).count { $0.contains(text) }
    }

    @Test func aPasswordIsTypedAtTheTerminal() throws {
        let bench = try bench { ($0.sshd, $0.authorizedKeys) = (["PasswordAuthentication yes"], "") }
        try setPassword(bench)
        let words = ["semq", "acquire", "-q", "lab@bench:board.queue", "--", "echo", "in"]
        let terminal = try client.terminal(["sh", "-c", "stty echo; exec \"$@\"", "sh"] + words)
        for _ in 1...2 {
            #expect(terminal.sees("lab@bench's password: "), "\(terminal.everything)")
            terminal.line(Self.secret)
        }
        #expect(terminal.sees("in\r\n") && terminal.wait() == .exited(0), "\(terminal.everything)")
        #expect(!terminal.everything.contains(Self.secret))
    }

    @Test func whoEndsAtThePasswordPromptPutsTheTerminalBack() throws {
        try setPassword(bench { ($0.sshd, $0.authorizedKeys) = (["PasswordAuthentication yes"], "") })
        let terminal = try QuestionTests.terminal(client, ["semq", "acquire", "lab@bench:board.queue", "--", "true"])
        #expect(terminal.sees("lab@bench's password: "), "\(terminal.everything)")
        kill(try QuestionTests.semq(client, "board.queue"), SIGTERM)
        #expect(terminal.sees("code 143, as before"), "\(terminal.everything)")
    }

    /// Nobody is there to answer questions then, and none is asked.
    @Test func whatSSHCarriesIsResumed() throws {
        let bench = try bench()
        try letIn(bench, key("rsa"))
        let line = "echo in; until [ -e /tmp/leave ]; do sleep 0.05; done"
        let running = try client.start(
            ["semq", "acquire", "--lease", "60", "lab@bench:board.queue", "--", "sh", "-c", line])
        try #require(Event.happens { running.out == "in\n" }, "\(running.err)")
        func logIns() -> Int { logged("Accepted publickey for lab", on: bench) }
        let before = logIns()
        try bench.resetConnections()
        #expect(Scene.comesToBe(within: 40) { logIns() > before }, "\(running.err)")
        try run(": >/tmp/leave")
        #expect(running.wait().status == .exited(0), "\(running.err)")
        // Nobody would know of the end before the lease's.
        let isFree = Scene.comesToBe {
            let out = try? bench.shell("cd; .cache/semq/*/semq status --json board.queue", user: "lab").out
            return (try? JSONDecoder().decode(Scene.Status.self, from: Data((out ?? "").utf8)).isFree) == true
        }
        #expect(isFree)
    }

    /// A client without OpenSSH goes its own way where that leads there, and says what it would need elsewhere.
    @Test func thereIsNoSSH() throws {
        let bench = try bench()
        try run("mv /usr/bin/ssh /usr/bin/no-ssh")
        func acquire(_ host: String = "lab@bench", _ options: String...) throws -> Sandbox.Result {
            try client.start(["semq", "acquire"] + options + ["\(host):board.queue", "--", "true"]).wait()
        }
        let warning =
            "warning: /root/.ssh/config is not read, because there is no ssh in PATH; install OpenSSH's client"
        let plain = try acquire()
        #expect(plain.status == .exited(0), "\(plain)")
        #expect(plain.err.contains("semq: \(warning)\n"), "\(plain.err)")
        #expect(try acquire("lab@bench", "-q").err.isEmpty)
        let name = try acquire("nohost")
        #expect(name.status == .exited(69), "\(name)")
        #expect(name.err.contains("no address is known for nohost"), "\(name.err)")
        #expect(name.err.contains("check the name, and the name server\n"), "\(name.err)")
        try letIn(bench, key("rsa"))
        let result = try acquire()
        #expect(result.status == .exited(69), "\(result)")
        #expect(
            result.err == "semq: lab@bench: can't be reached: \(warning); bench:22: /root/.ssh/id_rsa is a key that "
                + "libssh2 can't use (ssh-rsa); and ssh can't be started: No such file or directory\n")
    }

    // MARK: names

    /// What a fully static program can't know, others here do: as with a module of nsswitch.conf(5).
    @Test func aNameThatOnlyOtherProgramsKnow() throws {
        let bench = try bench()
        let interposed = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <netdb.h>
            #include <string.h>
            int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **list) {
                int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
                next = dlsym(RTLD_NEXT, "getaddrinfo");
                int isName = name && !strcmp(name, "hidden") && !(hints && hints->ai_flags & AI_NUMERICHOST);
                return next(isName ? "\(bench.address)" : name, port, hints, list);
            }
            """
        try run("cat >/tmp/names.c <<'end'\n\(interposed)\nend")
        try run("cc -shared -fPIC -o /usr/local/lib/names.so /tmp/names.c")
        try run("echo /usr/local/lib/names.so >/etc/ld.so.preload")
        try run(#"printf 'Host hidden\n HostKeyAlias bench\n' >>~/.ssh/config"#)
        func acquire() throws -> Sandbox.Result {
            try client.start(["semq", "acquire", "-v", "lab@hidden:board.queue", "--", "echo", "in"]).wait()
        }
        let byGetent = try acquire()
        #expect(byGetent.status == .exited(0) && byGetent.out == "in\n", "\(byGetent)")
        #expect(byGetent.err.contains("semq: lab@hidden: by libssh2 to hidden port 22\n"), "\(byGetent.err)")

        // Whose C library knows less, or that knows no such question.
        for code in [2, 1] {
            try run("printf '#!/bin/sh\\nexit \(code)\\n' >/usr/local/bin/getent; chmod 755 /usr/local/bin/getent")
            let result = try acquire()
            #expect(result.status == .exited(0) && result.out == "in\n", "\(result)")
            let why = "no address is known for hidden (Name or service not known), nor to getent"
            #expect(result.err.contains("semq: \(why); by way of ssh\n"), "\(result.err)")
        }
        try run("rm /usr/local/bin/getent; mv /usr/bin/getent /usr/bin/no-getent")
        let result = try acquire()
        #expect(result.status == .exited(0) && result.out == "in\n", "\(result)")
        #expect(result.err.contains("and getent doesn't help; by way of ssh\n"), "\(result.err)")
    }
}
