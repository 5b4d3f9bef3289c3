import Foundation
import Testing

@testable import SSHTransport

/// What `ssh -G` says, understood as `ssh` itself would.
@Suite struct SSHConfigurationTests {
    private let workshop: Workshop
    private let account: LocalAccount

    init() throws {
        workshop = try Workshop()
        mkdir(workshop.path(".ssh"), 0o700)
        let folder = workshop.folder
        account = LocalAccount(
            passwd: "root:x:0:0::/:/bin/sh\nann:x:4711:100:Ann:\(folder):/bin/sh\nbob:x:4712:100::/home/bob:/bin/sh\n",
            uid: 4711, hostName: "desk.lab"
        ) { ["SSH_AUTH_SOCK": "/run/agent", "OTHER": "/run/other", "EMPTY": ""][$0] }
    }

    private func resolve(_ text: String, host: String = "bench", user: String? = nil, port: Int? = nil) throws
        -> SSHConfiguration
    {
        let file = try workshop.write("config", text)
        return try SSHConfiguration.resolve(
            SSHDestination(host: host, user: user, port: port), program: ["ssh", "-F", file], account: account)
    }

    @Test func withNothingConfigured() throws {
        let configuration = try resolve("", host: "Bench.Lab")
        let me = LocalAccount.current
        #expect(configuration.host == "Bench.Lab")
        #expect(configuration.hostName == "bench.lab")
        #expect(configuration.user == me.name)
        #expect(configuration.port == 22)
        #expect(configuration.strictHostKeyChecking == .ask)
        #expect(configuration.userKnownHostsFiles == ["\(me.home)/.ssh/known_hosts", "\(me.home)/.ssh/known_hosts2"])
        #expect(configuration.globalKnownHostsFiles == ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"])
        #expect(configuration.identities == [])
        #expect(configuration.identityAgent == "/run/agent")
        #expect(configuration.connectTimeout == nil)
        #expect(configuration.serverAliveInterval == nil)
        #expect(configuration.hostKeyAlgorithms.contains("ssh-ed25519"))
        #expect(configuration.publicKeyAuthentication)
        #expect(configuration.needsOpenSSH() == nil)
        #expect(configuration.warnings == [])
        #expect(configuration.hasOpenSSH)
    }

    @Test func withAllConfigured() throws {
        let configuration = try resolve(
            """
            Host bench
              HostName %h.example.org
              User ann
              Port 2222
              AddressFamily inet6
              ConnectTimeout 7
              ServerAliveInterval 1m
              ServerAliveCountMax 5
              StrictHostKeyChecking accept-new
              UserKnownHostsFile /tmp/a ~/b
              GlobalKnownHostsFile ~/c /tmp/d
              HostKeyAlias Board
              HashKnownHosts yes
              HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519
              IdentityFile ~/.ssh/%r-%n-%h_%p
              IdentityFile "/tmp/with space/%%x"
              IdentityFile none
              IdentitiesOnly yes
              PreferredAuthentications publickey,password
            """)
        #expect(configuration.hostName == "bench.example.org")
        #expect(configuration.user == "ann")
        #expect(configuration.port == 2222)
        #expect(configuration.addressFamily == .inet6)
        #expect(configuration.connectTimeout == .seconds(7))
        #expect(configuration.serverAliveInterval == .seconds(60))
        #expect(configuration.serverAliveCountMax == 5)
        #expect(configuration.strictHostKeyChecking == .acceptNew)
        #expect(configuration.userKnownHostsFiles == ["/tmp/a", "\(LocalAccount.current.home)/b"])
        #expect(configuration.globalKnownHostsFiles == ["\(workshop.folder)/c", "/tmp/d"])
        #expect(configuration.hostKeyAlias == "board")
        #expect(configuration.knownHostsName == "board")
        #expect(configuration.hashKnownHosts)
        #expect(configuration.hostKeyAlgorithms == ["ecdsa-sha2-nistp256", "ssh-ed25519"])
        #expect(
            configuration.identities.map(\.path)
                == ["\(workshop.folder)/.ssh/ann-bench-bench.example.org_2222", "/tmp/with space/%x"])
        #expect(configuration.identitiesOnly)
        #expect(configuration.preferredAuthentications == ["publickey", "password"])
        #expect(configuration.needsOpenSSH() == nil)
    }

    @Test func whatTheUserTypedComesFirst() throws {
        let configuration = try resolve("User bob\nPort 2222", user: "ann", port: 2223)
        #expect(configuration.user == "ann")
        #expect(configuration.port == 2223)
        #expect(configuration.knownHostsName == "[bench]:2223")
        #expect(try resolve("", host: "[fe80::1]", port: 2222).knownHostsName == "[fe80::1]:2222")
    }

    @Test(arguments: [
        ("yes", SSHConfiguration.StrictHostKeyChecking.yes), ("ask", .ask), ("accept-new", .acceptNew), ("no", .no),
        ("off", .no),
    ])
    func strictness(_ text: String, _ value: SSHConfiguration.StrictHostKeyChecking) throws {
        let configuration = try resolve("StrictHostKeyChecking \(text)")
        #expect(configuration.strictHostKeyChecking == value)
        #expect(value.addsNewKeys == (value == .acceptNew || value == .no))
    }

    @Test(arguments: [
        ("none", nil), ("SSH_AUTH_SOCK", "/run/agent"), ("$OTHER", "/run/other"), ("$MISSING", nil), ("$EMPTY", nil),
        ("/run/%%h", "/run/%h"), ("~root/agent", "/root/agent"),
    ])
    func agents(_ text: String, _ socket: String?) throws {
        let configuration = try resolve("IdentityAgent \(text)")
        #expect(configuration.identityAgent == socket)
        #expect(configuration.needsOpenSSH() == nil)
    }

    /// OpenSSH 9 does it itself.
    @Test func olderVersionsLeaveTheTilde() {
        let output = OpenSSHSettings(
            "hostname bench\nuserknownhostsfile ~/a ~bob/b\nidentityagent ~bob/agent\nglobalknownhostsfile ~none/x")
        let configuration = SSHConfiguration(output, host: "bench", account: account)
        #expect(configuration.userKnownHostsFiles == ["\(workshop.folder)/a", "/home/bob/b"])
        #expect(configuration.globalKnownHostsFiles == ["~none/x"])
        #expect(configuration.identityAgent == "/home/bob/agent")
    }

    @Test func defaultKeysThatAreThere() throws {
        try workshop.key(".ssh/id_ed25519")
        try workshop.key(".ssh/id_rsa", ["-b", "2048"], type: "rsa")
        let configuration = try resolve("")
        #expect(configuration.identities.map(\.type) == ["ssh-rsa", "ssh-ed25519"])
        #expect(configuration.needsOpenSSH() == nil)
    }

    @Test func noFileForKnownHosts() throws {
        let configuration = try resolve("UserKnownHostsFile none\nGlobalKnownHostsFile none")
        #expect(configuration.knownHostsFiles == [])
    }

    /// OpenSSH expands UserKnownHostsFile before it prints it, so that tells what each token stands for.
    @Test(
        arguments: [
            "/%d", "/%h", "/%i", "/%k", "/%L", "/%l", "/%n", "/%p", "/%r", "/%u", "/%%h", "/${PATH}", "~/x", "~root/x",
            "/a~b", "/$PATH", "/%h%h%%%p",
        ], ["", "HostKeyAlias Other"])
    func tokensStandForWhatOpenSSHSays(_ text: String, _ more: String) throws {
        let file = try workshop.write(
            "config", "UserKnownHostsFile \(text)\nHostName x.%h\nUser u\nPort 77\n\(more)")
        // Said once more in IdentityFile, which it prints as it is.
        try workshop.write("config", workshop.read("config") + "\nIdentityFile \(text)")
        let configuration = try SSHConfiguration.resolve(
            SSHDestination(host: "Bench"), program: ["ssh", "-F", file], account: .current)
        #expect(configuration.identities.map(\.path) == configuration.userKnownHostsFiles)
        #expect(configuration.identities.count == 1)
    }

    @Test(arguments: ["/%C", "/%z", "/${MISSING}", "/${OPEN", "~nobody-of-this-name/x", "/100%"])
    func whatCannotBeExpandedIsLeftToOpenSSH(_ text: String) throws {
        let output = OpenSSHSettings("hostname bench\nidentityfile \(text)\nidentityfile /tmp/x")
        let configuration = SSHConfiguration(output, host: "bench", account: account)
        #expect(configuration.identities.map(\.path) == ["/tmp/x"])
        #expect(configuration.needsOpenSSH() == "only OpenSSH can tell what file ‘\(text)’ is")
    }

    @Test(arguments: [
        ("ProxyJump ann@j1:22,j2", "ProxyJump is set (ann@j1:22,j2)"),
        ("ProxyJump none", nil),
        ("ProxyCommand nc %%h %p", "ProxyCommand is set (nc %%h %p)"),
        ("ProxyCommand none", nil),
        ("CertificateFile /tmp/c-%h", "/tmp/c-bench is a certificate"),
        ("RevokedHostKeys /etc/revoked", "RevokedHostKeys is set (/etc/revoked)"),
        ("BindAddress 127.0.0.1", "BindAddress is set"),
        ("BindInterface lo", "BindInterface is set"),
        ("KnownHostsCommand /bin/true", "KnownHostsCommand is set"),
        ("PKCS11Provider /usr/lib/x.so", "PKCS11Provider is set"),
        ("VerifyHostKeyDNS yes", "VerifyHostKeyDNS is set"),
        ("VerifyHostKeyDNS ask", nil),
        ("NoHostAuthenticationForLocalhost yes", "NoHostAuthenticationForLocalhost is set"),
        ("PubkeyAuthentication no", "PubkeyAuthentication is off"),
        ("PubkeyAuthentication unbound", nil),
        (
            "PreferredAuthentications gssapi-with-mic,password",
            "PreferredAuthentications has no publickey (gssapi-with-mic,password)"
        ),
        ("PreferredAuthentications gssapi-with-mic,publickey", nil),
        (
            "HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256",
            "HostKeyAlgorithms allows none that libssh2 has (rsa-sha2-512,rsa-sha2-256)"
        ),
        ("HostKeyAlgorithms rsa-sha2-512,ecdsa-sha2-nistp384", nil),
        ("StrictHostKeyChecking no", nil),
        ("ControlMaster auto\nControlPath ~/.ssh/%C", nil),
    ])
    func whatOnlyOpenSSHCanDo(_ text: String, _ reason: String?) throws {
        #expect(try resolve(text).needsOpenSSH() == reason)
    }

    @Test func keysThatOnlyOpenSSHCanUse() throws {
        try workshop.key(".ssh/id_rsa", ["-b", "2048"], type: "rsa")
        let blob = Array("\0\0\0\u{1A}sk-ssh-ed25519@openssh.com\0\0\0\u{4}ssh:".utf8)
        try workshop.write("sk.pub", "sk-ssh-ed25519@openssh.com \(Base64.encode(blob)) key")
        let (rsa, sk) = ("IdentityFile ~/.ssh/id_rsa", "IdentityFile \(workshop.path("sk"))")
        let message = "\(workshop.path(".ssh/id_rsa")) is a key that libssh2 can't use (ssh-rsa)"
        #expect(try resolve("\(rsa)\nIdentityAgent none").needsOpenSSH() == message)
        #expect(try resolve("\(rsa)\n\(sk)\nIdentityAgent none").needsOpenSSH() == message)
        #expect(try resolve("\(rsa)\nIdentitiesOnly yes").needsOpenSSH() == message)
        // The agent may have another one, or the second file.
        #expect(try resolve(rsa).needsOpenSSH() == nil)
        #expect(try resolve("\(rsa)\nIdentityFile /tmp/x\nIdentityAgent none").needsOpenSSH() == nil)
        #expect(
            try resolve("\(sk)\nIdentityAgent none").needsOpenSSH()
                == "\(workshop.path("sk")) is a key that libssh2 can't use (sk-ssh-ed25519@openssh.com)")
        // libssh2 1.11 can do RSA.
        #expect(
            try resolve("\(rsa)\nIdentityAgent none").needsOpenSSH(
                types: SSHConfiguration.ownKeyTypes.union(["ssh-rsa"])) == nil)
    }

    @Test func aCertificateBesideAKey() throws {
        try workshop.key(".ssh/ca")
        try workshop.key(".ssh/id_ed25519")
        try workshop.run(
            "ssh-keygen", "-q", "-s", workshop.path(".ssh/ca"), "-I", "test", workshop.path(".ssh/id_ed25519.pub"))
        #expect(try resolve("").needsOpenSSH() == "\(workshop.path(".ssh/id_ed25519-cert.pub")) is a certificate")
    }

    @Test func aBadOptionIsSaidInOpenSSHsWords() throws {
        let error = #expect(throws: SSHError.self) { try resolve("Host bench\nBogus yes", user: "ann", port: 2222) }
        let file = workshop.path("config")
        #expect(
            error?.message == "`ssh -F \(file) -G -N -T -l ann -p 2222 -- bench` fails: "
                + "\(file): line 2: Bad configuration option: bogus; \(file): terminating, 1 bad configuration options")
        #expect(error?.phase == .configuration)
        #expect(error?.host == "bench")
    }

    @Test(arguments: [
        ("exit 255", "it says nothing"), ("echo 'what is -G?' >&2; exit 1", "what is -G?"),
        ("echo hello", "it says nothing"),
        ("printf 'a\\033[31m\\nb\\n' >&2; exit 255", "a [31m; b"),
    ])
    func anotherProgramOfThatName(_ text: String, _ said: String) throws {
        let program = try workshop.script("ssh", text)
        let error = #expect(throws: SSHError.self) {
            try SSHConfiguration.resolve(SSHDestination(host: "bench"), program: [program], account: account)
        }
        #expect(error?.message == "`\(program) -G -N -T -- bench` fails: \(said)")
    }

    @Test func aProgramThatHangs() throws {
        let program = try workshop.script("ssh", "exec sleep 600")
        let error = #expect(throws: SSHError.self) {
            try SSHConfiguration.resolve(
                SSHDestination(host: "bench"), program: [program], account: account, limit: .milliseconds(200))
        }
        #expect(error?.kind == .timedOut)
        #expect(
            error?.message == "`\(program) -G -N -T -- bench` did not answer within 0.2 seconds: "
                + "does a `Match exec` in ssh's configuration hang?")
    }

    @Test(arguments: ["", "-oProxyCommand=x", "a b", "a;b", "$(x)", "a\nb", "a\0b", "`x`", "a'b", "\u{1B}[31m"])
    func namesThatAreNone(_ name: String) {
        for destination in [SSHDestination(host: name), SSHDestination(host: "bench", user: name)] {
            let error = #expect(throws: SSHError.self) {
                try SSHConfiguration.resolve(destination, program: ["false"], account: account)
            }
            #expect(error?.kind == .usage)
            #expect(error?.message.unicodeScalars.allSatisfy { $0.value >= 0x20 } == true)
        }
    }

    @Test(arguments: [0, -1, 65536])
    func portsThatAreNone(_ port: Int) {
        let error = #expect(throws: SSHError.self) {
            try SSHConfiguration.resolve(SSHDestination(host: "bench", port: port), account: account)
        }
        #expect(error?.message == "bench: \(port) is no port; a number from 1 to 65535 is wanted")
    }

    @Test func withoutOpenSSH() throws {
        try workshop.key(".ssh/id_ed25519")
        try workshop.key(".ssh/id_ecdsa", type: "ecdsa")
        func resolve() throws -> SSHConfiguration {
            try SSHConfiguration.resolve(
                SSHDestination(host: "Bench", port: 2222), program: ["no-such-ssh"], account: account)
        }
        let configuration = try resolve()
        #expect(!configuration.hasOpenSSH)
        #expect(configuration.hostName == "bench")
        #expect(configuration.user == "ann")
        #expect(configuration.port == 2222)
        #expect(configuration.identities.map(\.type) == ["ssh-ed25519", "ecdsa-sha2-nistp256"])
        #expect(configuration.identityAgent == "/run/agent")
        #expect(configuration.strictHostKeyChecking == .ask)
        #expect(configuration.userKnownHostsFiles.first == workshop.path(".ssh/known_hosts"))
        #expect(configuration.warnings == [])
        try workshop.write(".ssh/config", "Host bench\n")
        #expect(
            try resolve().warnings
                == [
                    "\(workshop.path(".ssh/config")) is not read, because there is no no-such-ssh in PATH; install OpenSSH's client"
                ])
    }

    @Test func whoRunsThis() throws {
        #expect(account.name == "ann")
        #expect(account.home == workshop.folder)
        let stranger = LocalAccount(passwd: "ann:x:4711:", uid: 1, hostName: "desk") {
            ["USER": "carl", "HOME": "/home/carl"][$0]
        }
        #expect(stranger.name == "carl")
        #expect(stranger.home == "/home/carl")
        let me = LocalAccount.current
        #expect(try workshop.run("id", "-run") == "\(me.name)\n")
        #expect(try workshop.run("uname", "-n") == "\(me.hostName)\n")
        #expect(me.uid == getuid())
    }
}
