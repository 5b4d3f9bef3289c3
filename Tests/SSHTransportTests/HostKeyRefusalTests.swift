import Testing

@testable import SSHTransport

/// What a person is told when a host's key is not accepted: which host, which key, which line, what to do.
@Suite struct HostKeyRefusalTests {
    private let offered: SSHPublicKey
    private let known: SSHPublicKey

    init() throws {
        let workshop = try Workshop()
        offered = try workshop.key("offered")
        known = try workshop.key("known", type: "ecdsa")
    }

    private func entry(_ line: Int, file: String = "/home/ann/.ssh/known_hosts", isWild: Bool = false) -> KnownHostKey {
        KnownHostKey(key: known, file: file, line: line, marker: nil, isWild: isWild)
    }

    private func message(
        _ verdict: HostKeyVerdict, port: Int? = nil, _ change: (inout SSHConfiguration) -> Void = { _ in }
    ) -> String? {
        var configuration = SSHConfiguration(host: "bench1", hostName: "bench1.lab", user: "ann")
        configuration.port = port ?? 22
        configuration.userKnownHostsFiles = ["/home/ann/.ssh/known_hosts"]
        configuration.globalKnownHostsFiles = ["/etc/ssh/ssh_known_hosts"]
        change(&configuration)
        let destination = SSHDestination(host: "bench1", user: "ann", port: port)
        return HostKeyRefusal(configuration, destination).message(for: verdict, on: offered)
    }

    @Test func aKnownKeyIsNotRefused() {
        #expect(message(.known(entry(1))) == nil)
    }

    @Test func anUnknownKey() {
        let shown = "bench1.lab port 22: the host's ED25519 key \(offered.fingerprint) is unknown"
        let searched = "it is not in /home/ann/.ssh/known_hosts, /etc/ssh/ssh_known_hosts"
        #expect(
            message(.unknown) == "\(shown) (\(searched)): compare it with what the host's admin tells, "
                + "then run `ssh ann@bench1` once to add it")
        #expect(message(.unknown) { $0.hasOpenSSH = false } == message(.unknown) { $0.strictHostKeyChecking = .yes })
        #expect(
            message(.unknown) { $0.strictHostKeyChecking = .yes }
                == "\(shown) (\(searched)): compare it with what the host's admin tells, "
                + "then add `bench1.lab \(offered.line)` to /home/ann/.ssh/known_hosts")
        #expect(
            message(.unknown) {
                $0.userKnownHostsFiles = []
                $0.globalKnownHostsFiles = []
            } == "\(shown) (no known_hosts file is configured): compare it with what the host's admin tells, then name "
                + "a UserKnownHostsFile in ssh's configuration, and add `bench1.lab \(offered.line)` to it")
    }

    @Test func anUnknownKeyAtAnotherPort() throws {
        let text = try #require(message(.unknown, port: 2222) { $0.strictHostKeyChecking = .acceptNew })
        #expect(text.hasPrefix("bench1.lab port 2222: "))
        #expect(text.hasSuffix("run `ssh -p 2222 ann@bench1` once to add it"))
    }

    @Test func aChangedKey() {
        let shown = "bench1.lab port 22: the host's ED25519 key \(offered.fingerprint) is not the one known before"
        let why =
            "somebody may be listening in, or the host was set up anew; ask its admin, and if the new key is right"
        #expect(
            message(.changed([entry(3)]))
                == "\(shown) (\(known.fingerprint) in /home/ann/.ssh/known_hosts:3): \(why), "
                + "run `ssh-keygen -R bench1.lab -f /home/ann/.ssh/known_hosts` and connect again")
        #expect(
            message(.changed([entry(3), entry(1, file: "/etc/my hosts")])) { $0.hostKeyAlias = "board 7" }
                == "\(shown) (\(known.fingerprint) in /home/ann/.ssh/known_hosts:3, "
                + "\(known.fingerprint) in /etc/my hosts:1): \(why), "
                + "run `ssh-keygen -R 'board 7' -f /home/ann/.ssh/known_hosts` and "
                + "run `ssh-keygen -R 'board 7' -f '/etc/my hosts'` and connect again")
        #expect(message(.changed([entry(3, isWild: true)]))?.hasSuffix("delete that line and connect again") == true)
    }

    @Test func aChangedKeyAtAnotherPortIsRemovedForThatPort() throws {
        let text = try #require(message(.changed([entry(3)]), port: 2222))
        #expect(text.contains("`ssh-keygen -R '[bench1.lab]:2222' -f /home/ann/.ssh/known_hosts`"))
    }

    @Test func aRevokedKey() {
        #expect(
            message(.revoked(entry(9)))
                == "bench1.lab port 22: the host's ED25519 key \(offered.fingerprint) is revoked in "
                + "/home/ann/.ssh/known_hosts:9: somebody may have stolen it; don't connect, "
                + "and ask the host's admin for a new key")
    }

    @Test func aKeyOfAnotherType() {
        #expect(
            message(.otherTypesKnown([entry(4)]))
                == "bench1.lab port 22: the host's ED25519 key \(offered.fingerprint) is unknown, while keys of another "
                + "type are known (ECDSA \(known.fingerprint) in /home/ann/.ssh/known_hosts:4): ask the host's admin, "
                + "and if the new key is right, add `bench1.lab \(offered.line)` to /home/ann/.ssh/known_hosts")
    }

    @Test(arguments: [
        ("bench1", "bench1"), ("", "''"), ("[bench]:22", "'[bench]:22'"), ("a b", "'a b'"), ("it's", "'it'\\''s'"),
        ("$(x)", "'$(x)'"), ("ann@b-1.lab:/x,y", "ann@b-1.lab:/x,y"), ("ü", "'ü'"),
    ])
    func quotesForTheShell(_ text: String, _ quoted: String) throws {
        #expect(text.shellQuoted == quoted)
        #expect(try Workshop().run("/bin/sh", "-c", "printf %s \(quoted)") == text)
    }
}
