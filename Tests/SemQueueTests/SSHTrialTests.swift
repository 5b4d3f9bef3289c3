import Testing

@testable import SemQueue

/// What `semq doctor` makes of what `ssh -v` says: as OpenSSH 9.2 prints it, shortened.
@Suite struct SSHTrialTests {
    static let connected = """
        OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19 27 Jan 2026
        debug1: Reading configuration data /home/ann/.ssh/config
        debug1: Connecting to bench1 [10.188.185.2] port 2222.
        debug1: Connection established.
        debug1: Local version string SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10

        """
    static let heard = """
        \(connected)debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1 Debian-2+deb12u10
        debug1: Authenticating to bench1:2222 as 'root'
        debug1: Server host key: ssh-ed25519 SHA256:bvqzuF0

        """
    static let known = """
        \(heard)debug1: Host 'bench1' is known and matches the ED25519 host key.
        debug1: Found key in /etc/ssh/ssh_known_hosts:1
        debug1: Authentications that can continue: publickey,password
        debug1: Offering public key: /home/ann/.ssh/id_ed25519 ED25519 SHA256:qpmxUJR

        """
    static let changed = """
        \(heard)@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
        Offending ED25519 key in /home/ann/.ssh/known_hosts:7
          remove with:
          ssh-keygen -f "/home/ann/.ssh/known_hosts" -R "bench1"
        Host key for bench1 has changed and you have requested strict checking.
        Host key verification failed.

        """
    static let revoked = """
        \(heard)@       WARNING: REVOKED HOST KEY DETECTED!               @
        Host key verification failed.

        """
    static let proxy = """
        debug1: Executing proxy command: exec nc bench1 22
        sh: 1: exec: nc: not found
        debug1: kex_exchange_identification: Connection closed by remote host
        Connection closed by UNKNOWN port 65535

        """

    struct Case: CustomTestStringConvertible {
        var testDescription: String
        var said: String
        /// The last finding: its subject, verdict, failure and parts of its text.
        var last: (subject: String, verdict: Diagnosis.Verdict, code: SemaphoreError.Code?)
        var words: [String]
        var count: Int
        var canAsk = false
    }

    static let cases = [
        Case(
            testDescription: "all is well",
            said: known
                + "debug1: Server accepts key: /home/ann/.ssh/id_ed25519 ED25519 SHA256:qpmxUJR\n"
                + "Authenticated to bench1 ([10.188.185.2]:2222) using \"publickey\".\n",
            last: ("log-in", .good, nil), words: ["by publickey (/home/ann/.ssh/id_ed25519)"], count: 3),
        Case(
            testDescription: "no such name",
            said: "ssh: Could not resolve hostname benchx: Name or service not known\n",
            last: ("route", .bad, .unreachable),
            words: ["Could not resolve hostname benchx: Name or service not known: is it spelled right"], count: 1),
        Case(
            testDescription: "nobody listens",
            said: "debug1: connect to address 10.1.1.1 port 2: Connection refused\n"
                + "ssh: connect to host bench1 port 2: Connection refused\n",
            last: ("route", .bad, .unreachable), words: ["10.1.1.1 port 2: Connection refused", "ssh://bench1:PORT"],
            count: 1),
        Case(
            testDescription: "no answer",
            said: "debug1: connect to address 10.1.1.1 port 22: Connection timed out\n"
                + "ssh: connect to host bench1 port 22: Connection timed out\n",
            last: ("route", .bad, .unreachable), words: ["Connection timed out", "is the host up"], count: 1),
        Case(
            testDescription: "too many connections",
            said: connected + "kex_exchange_identification: Connection closed by remote host\n",
            last: ("route", .bad, .unreachable), words: ["10.188.185.2 port 2222", "MaxStartups"], count: 1),
        Case(
            testDescription: "no proxy", said: proxy, last: ("route", .bad, .unreachable),
            words: ["through the proxy: sh: 1: exec: nc: not found; Connection closed"], count: 1),
        Case(
            testDescription: "unknown host key", said: heard + "Host key verification failed.\n",
            last: ("host key", .bad, .permission),
            words: ["ssh-ed25519 SHA256:bvqzuF0 is not known: log in once by ssh"], count: 2),
        Case(
            testDescription: "changed host key", said: changed, last: ("host key", .bad, .permission),
            words: [
                "SHA256:bvqzuF0", "/home/ann/.ssh/known_hosts:7 has another",
                "only then: ssh-keygen -f \"/home/ann/.ssh/known_hosts\" -R \"bench1\"",
            ], count: 2),
        Case(
            testDescription: "revoked host key", said: revoked, last: ("host key", .bad, .permission),
            words: ["is revoked"], count: 2),
        Case(
            testDescription: "no key exchange in common",
            said: connected + "debug1: Remote protocol version 2.0, remote software version dropbear\n"
                + "Unable to negotiate with 10.1.1.1 port 22: no matching host key type found. Their offer: ssh-dss\n",
            last: ("host key", .bad, .unreachable), words: ["no matching host key type found"], count: 2),
        Case(
            testDescription: "wrong key", said: known + "root@bench1: Permission denied (publickey,password).\n",
            last: ("log-in", .bad, .permission),
            words: ["Permission denied (publickey,password). (tried /home/ann/.ssh/id_ed25519)", "ssh-copy-id"],
            count: 3),
        Case(
            testDescription: "a password would do",
            said: known + "root@bench1: Permission denied (publickey,password).\n", last: ("log-in", .note, nil),
            words: ["ssh asks for a password"], count: 3, canAsk: true),
        Case(
            testDescription: "an agent with too many keys",
            said: known + "Received disconnect from 10.1.1.1 port 22:2: Too many authentication failures\n",
            last: ("log-in", .bad, .permission), words: ["refused after 1 keys", "IdentitiesOnly yes"], count: 3),
        Case(
            testDescription: "broken off", said: known + "Connection closed by 10.1.1.1 port 22\n",
            last: ("log-in", .bad, .unreachable), words: ["Connection closed by 10.1.1.1 port 22"], count: 3),
        Case(
            testDescription: "nothing at all", said: "", last: ("route", .bad, .unreachable),
            words: ["ssh says nothing"], count: 1),
    ]

    @Test(arguments: cases)
    func theFirstThatIsWrongIsNamedWithTheWayOut(_ test: Case) throws {
        let findings = SSHTrial(test.said, host: "bench1", port: 2222).findings(canAsk: test.canAsk)
        let last = try #require(findings.last)
        #expect(last.subject == test.last.subject && last.verdict == test.last.verdict)
        if let code = test.last.code { #expect(last.code == code) }
        for words in test.words { #expect(last.text.contains(words), "\(last.text)") }
        #expect(findings.count == test.count)
        #expect(findings.dropLast().allSatisfy { $0.verdict == .good })
    }
}
