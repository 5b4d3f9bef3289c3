import Foundation
import Testing

@testable import SSHTransport

/// Which lines of known_hosts speak of a host, and what follows for the key that it shows.
@Suite struct KnownHostsTests {
    private let workshop: Workshop
    private let keys: [String: SSHPublicKey]

    /// Made once for all tests.
    private static let pairs = Result {
        let workshop = try Workshop()
        try workshop.key("old")
        try workshop.key("new")
        try workshop.key("ecdsa", type: "ecdsa")
        return workshop
    }

    init() throws {
        workshop = try Workshop()
        let pairs = try Self.pairs.get()
        keys = try [
            "old": pairs.publicKey("old.pub"), "new": pairs.publicKey("new.pub"), "ecdsa": pairs.publicKey("ecdsa.pub"),
        ]
    }

    private static func path(of key: String) throws -> String { try pairs.get().path(key) }

    /// Puts keys in the place of their names in angle brackets.
    private func file(_ text: String, _ name: String = "known_hosts") throws -> String {
        var text = text
        for (name, key) in keys { text = text.replacing("<\(name)>", with: key.line) }
        return try workshop.write(name, text)
    }

    private func verdict(_ text: String, host: String = "bench", port: Int? = 22, shows key: String) throws -> String {
        let known = try KnownHosts(files: [file(text)]).keys(host: host, port: port)
        return switch known.verdict(on: try #require(keys[key])) {
        case .known(let entry): "known \(entry.line)"
        case .revoked(let entry): "revoked \(entry.line)"
        case .changed(let entries): "changed \(entries.map(\.line))"
        case .otherTypesKnown(let entries): "other types \(entries.map(\.line))"
        case .unknown: "unknown"
        }
    }

    /// Names, patterns, hashes and garbage of all kinds.
    private static let everyKindOfLine = """
        # a comment
        bench <old>
        BENCH.Lab,other <old>

        \tbench\t<old> with a comment
        *.lab <old>
        bench? <old>
        b*c*h <old>
        bench* <old>
        bench?* <old>
        !bench,* <old>
        *,!*.lab <old>
        [bench]:2222 <old>
        [*]:2222 <old>
        [bench]:22 <old>
        @revoked bench <new>
        @cert-authority *.lab <old>
        @unknown bench <old>
        @revoked @revoked bench <old>
        @revoked
        bench
        bench ssh-ed25519
        bench ssh-ed25519 AAAA
        bench ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILX1UfM1khW6R5XCzW4isbT97Eg//hp3rswu+IMSUxrT
        bench ssh-ed25519 no!base64
        bench 1024 35 1234567890
        ,,bench,, <old>
        |1|AAAA|AAAA <old>
        |2|x <old>
        | <old>
        \u{1}\u{2}\u{FFFD}
        192.0.2.1,fe80::1 <old>
        [fe80::1]:2222 <old>
        bench <ecdsa>
        last-one-has-no-line-end <old>
        """

    @Test(arguments: [
        ("bench", 22), ("Bench", 22), ("bench", 2222), ("bench.lab", 22), ("bench1", 22), ("other", 2222),
        ("elsewhere", 22), ("192.0.2.1", 22), ("fe80::1", 22), ("fe80::1", 2222), ("x.lab", 22),
        ("last-one-has-no-line-end", 22),
    ])
    func findsTheLinesThatOpenSSHFinds(_ host: String, _ port: Int) throws {
        let path = try file(Self.everyKindOfLine)
        let name = KnownHosts.name(host: host, port: port)
        let own = try KnownHosts(files: [path]).entries(for: name).map(\.line)
        let theirs = try workshop.run("ssh-keygen", "-F", name, "-f", path, status: nil)
            .matches(of: /found: line (\d+)/).map { Int($0.1)! }
        // ssh-keygen shows lines 23 to 25, too, whose keys are none: it doesn't look at them.
        #expect(own == theirs.filter { !(23...25).contains($0) })
        #expect(!own.isEmpty)
    }

    @Test func findsNamesThatOpenSSHHashed() throws {
        let path = try file(
            """
            bench <old>
            [bench]:2222 <new>
            other <ecdsa>
            """)
        try workshop.run("ssh-keygen", "-q", "-H", "-f", path)
        try workshop.write("known_hosts", "garbage\n|1|x\n" + workshop.read("known_hosts"))
        #expect(!workshop.read("known_hosts").contains("bench"))
        let known = try KnownHosts(files: [path])
        #expect(known.entries(for: "bench").map(\.key) == [keys["old"]])
        #expect(known.entries(for: "[bench]:2222").map(\.key) == [keys["new"]])
        #expect(known.entries(for: "other").map(\.key) == [keys["ecdsa"]])
        #expect(known.entries(for: "bench:2222").isEmpty)
    }

    @Test(arguments: [
        ("bench <old>", "old", "known 1"),
        ("bench <old>", "new", "changed [1]"),
        ("bench <old>\nbench <new>", "new", "known 2"),
        ("bench <old>\nbench <old>", "new", "changed [1, 2]"),
        ("bench <ecdsa>", "old", "other types [1]"),
        ("bench <ecdsa>\nbench <old>", "new", "changed [2]"),
        ("other <old>", "old", "unknown"),
        ("", "old", "unknown"),
        ("bench <old>\n@revoked bench <old>", "old", "revoked 2"),
        ("@revoked * <old>\nbench <old>", "old", "revoked 1"),
        ("@revoked bench <old>", "new", "unknown"),
        ("@revoked bench <old>\nbench <old>", "new", "changed [2]"),
        ("@revoked other <old>\nbench <old>", "old", "known 2"),
        ("@cert-authority * <old>", "old", "unknown"),
        ("\0garbage\nbench ssh-ed25519 AAA\nbench <old>", "old", "known 3"),
        ("bench <old>\r\nbench <new>\r\n", "new", "known 2"),
        ("bench ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILX1UfM1khW6\nbench <old>", "new", "changed [2]"),
        ("ben* <old>", "new", "changed [1]"),
        ("!bench,ben* <old>", "old", "unknown"),
    ])
    func judgesAKey(_ text: String, _ key: String, _ expected: String) throws {
        #expect(try verdict(text, shows: key) == expected)
    }

    @Test(arguments: [
        ("bench <old>", "old", "known 1"),
        ("bench <old>", "new", "unknown"),
        ("bench <old>\n[bench]:2222 <new>", "old", "changed [2]"),
        ("@revoked bench <old>\n[bench]:2222 <old>", "old", "revoked 1"),
        ("@revoked bench <old>", "old", "revoked 1"),
    ])
    func keysOfPort22ServeForOtherPorts(_ text: String, _ key: String, _ expected: String) throws {
        #expect(try verdict(text, port: 2222, shows: key) == expected)
    }

    @Test func anAliasStandsForHostAndPort() throws {
        #expect(try verdict("board <old>", host: "Board", port: nil, shows: "old") == "known 1")
        #expect(try verdict("[board]:2222 <old>", host: "board", port: nil, shows: "old") == "unknown")
    }

    /// The same cases given to `ssh` itself, which talks to an sshd through a pipe.
    @Test(
        arguments: [
            "", "bench <old>", "bench <new>", "bench <ecdsa>", "other <old>", "BEN* <old>", "!bench,* <old>",
            "bench <new>\nbench <old>", "@revoked bench <old>\nbench <old>", "@revoked * <old>", "@revoked bench <new>",
            "@revoked bench <new>\nbench <new>", "@cert-authority bench <old>", "garbage\n\0\nbench <old>",
            "[bench]:2222 <old>", "[bench]:2222 <new>", "[bench]:2222 <new>\nbench <old>",
            "bench <old>\n[bench]:2222 <old>",
            "[bench]:2222 <ecdsa>\nbench <old>", "bench ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILX1UfM1khW6",
        ], [22, 2222])
    func judgesAsOpenSSHDoes(_ text: String, _ port: Int) throws {
        let server = try workshop.write(
            "sshd_config", "HostKey \(Self.path(of: "old"))\nPidFile none\nUsePAM no\nLogLevel QUIET\n")
        try? FileManager.default.createDirectory(atPath: "/run/sshd", withIntermediateDirectories: true)
        func isAccepted(_ strict: String) throws -> Bool {
            let output = try ProgramOutput.of(
                [
                    "ssh", "-F", "none", "-p", "\(port)", "-o", "BatchMode=yes", "-o",
                    "StrictHostKeyChecking=\(strict)",
                    "-o", "UserKnownHostsFile=\(file(text))", "-o", "GlobalKnownHostsFile=none",
                    "-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "KexAlgorithms=curve25519-sha256", "-o",
                    "PreferredAuthentications=none",
                    "-o", "ProxyCommand=/usr/sbin/sshd -i -f \(server)", "nobody@bench", "true",
                ], limit: .seconds(60))
            let isRefused = output.err.contains("Host key verification failed")
            try #require(isRefused != output.err.contains("Permission denied"), "\(output.err)")
            return !isRefused
        }
        let ours = try verdict(text, port: port, shows: "old")
        #expect(try isAccepted("yes") == ours.hasPrefix("known"))
        // For another port OpenSSH takes even a key that is revoked for port 22 for a new one.
        let isRevokedElsewhere = ours.hasPrefix("revoked") && !text.contains("* <old>") && port != 22
        #expect(try isAccepted("accept-new") == (ours.hasPrefix("known") || ours == "unknown" || isRevokedElsewhere))
    }

    @Test func severalFilesAreOne() throws {
        let files = [
            try file("bench <ecdsa>", "first"), workshop.path("missing"), workshop.path("first/no-folder"),
            "/dev/null", try file("\nbench <old>", "second"), try file("@revoked bench <new>", "third"),
        ]
        let known = try KnownHosts(files: files).keys(host: "bench", port: 22)
        #expect(known.trusted.map(\.place) == [workshop.path("first:1"), workshop.path("second:2")])
        #expect(known.types == ["ssh-ed25519", "ecdsa-sha2-nistp256"])
        guard case .revoked(let entry) = known.verdict(on: try #require(keys["new"])) else {
            Issue.record("a key revoked in the third file was not seen")
            return
        }
        #expect(entry.place == workshop.path("third:1"))
    }

    @Test func typesOfRevokedKeysAreNotAskedFor() throws {
        let path = try file("bench <ecdsa>\nbench <old>\n@revoked * <old>")
        #expect(try KnownHosts(files: [path]).keys(host: "bench", port: 22).types == ["ecdsa-sha2-nistp256"])
        #expect(try KnownHosts(files: [path]).keys(host: "bench", port: 2222).types == ["ecdsa-sha2-nistp256"])
        #expect(try KnownHosts(files: [path]).keys(host: "other", port: 22).types == [])
    }

    @Test func whatOnlyOpenSSHCanCheckIsLeftToIt() throws {
        let rsa = try workshop.key("rsa", ["-b", "2048"], type: "rsa")
        func reason(_ text: String) throws -> String? {
            try KnownHosts(files: [file(text.replacing("<rsa>", with: rsa.line))]).keys(host: "bench", port: 22)
                .needsOpenSSH()
        }
        let path = workshop.path("known_hosts")
        #expect(
            try reason("bench <rsa>") == "of bench only the RSA key is known (\(path):1), which libssh2 can't check")
        #expect(
            try reason("#\n@cert-authority * <old>")
                == "\(path):2 trusts a certificate authority for bench, and libssh2 can't check certificates")
        #expect(try reason("bench <new>\n@cert-authority * <old>")?.hasPrefix("\(path):2 trusts") == true)
        #expect(try reason("@cert-authority * <old>\n@revoked * <old>") == nil)
        #expect(try reason("bench <rsa>\nbench <old>") == nil)
        #expect(try reason("") == nil)
    }

    @Test func aFileThatCannotBeReadIsNotTakenForAnEmptyOne() throws {
        mkdir(workshop.path("folder"), 0o700)
        symlink("loop", workshop.path("loop"))
        mkfifo(workshop.path("fifo"), 0o600)
        let expected = [
            "folder": "can't read it: Is a directory; a regular file is wanted",
            "loop": "can't read it: Too many levels of symbolic links",
            "fifo": "can't read it: Illegal seek; a regular file is wanted",
        ]
        for (name, message) in expected {
            let path = workshop.path(name)
            let problem = #expect(throws: FileProblem.self) { try KnownHosts(files: [path]) }
            #expect(problem?.message == "\(path): \(message)")
        }
        let problem = #expect(throws: FileProblem.self) { try KnownHosts(files: ["/dev/zero"]) }
        #expect(problem?.message == "/dev/zero: is larger than 64 MiB, which can't be right")
    }

    /// The file is anybody's who can write to it; and each cut and each changed byte must be borne.
    @Test func anyBytesAreBorne() throws {
        let text = Array(try String(contentsOfFile: file(Self.everyKindOfLine), encoding: .utf8).utf8)
        var state: UInt64 = 0x5EED
        func random(below bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let key = try #require(keys["old"])
        for _ in 0..<2000 {
            var bytes = Array(text.dropFirst(random(below: text.count)).prefix(random(below: 600)))
            for _ in 0..<random(below: 8) where !bytes.isEmpty {
                bytes[random(below: bytes.count)] = UInt8(random(below: 256))
            }
            let known = KnownHosts(path: "random", text: bytes).keys(host: "bench", port: 2222)
            if case .known(let entry) = known.verdict(on: key) { #expect(entry.key == key) }
        }
    }

    @Test func aPatternOfManyStarsTakesNoTime() {
        let pattern = Array((String(repeating: "*a", count: 200) + "b").utf8)
        let name = [UInt8](repeating: UInt8(ascii: "a"), count: 5000)
        #expect(!HostPatterns(pattern[...]).match(name))
        #expect(HostPatterns(pattern[...]).match(name + [UInt8(ascii: "b")]))
    }

    @Test func fingerprintsAreOpenSSHs() throws {
        for (name, key) in keys {
            let words = try workshop.run("ssh-keygen", "-l", "-f", Self.path(of: name)).split(separator: " ")
            #expect(key.fingerprint == words[1])
            #expect("(\(key.kind))" == words.last?.trimmingCharacters(in: .newlines))
        }
    }
}
