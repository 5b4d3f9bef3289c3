import Foundation
import Glibc
import Testing

@testable import SemQueue

/// Which names mean one host, by `ssh -G` and files of known hosts that each test writes.
@Suite final class HostIdentityTests {
    private let folder: String

    init() throws {
        var template = Array("/tmp/semq-hosts-XXXXXX".utf8CString)
        folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func configured(_ text: String, named name: String = "config") throws -> [String] {
        let file = "\(folder)/\(name)"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        return ["ssh", "-F", file]
    }

    private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"
    private static func key(_ letter: Character) -> String { key + String(repeating: letter, count: 42) }

    /// Lines for each of two names, and whether these are one host then.
    private static let pairs: [(one: String, two: String, common: String, areSame: Bool)] = [
        ("HostName 10.9.9.9", "HostName 10.9.9.9", "", true),
        ("HostName 10.9.9.9", "HostName 10.9.9.8", "", false),
        ("HostName 10.9.9.9", "HostName 10.9.9.9", "Port 2222\nProxyJump gate", true),
        ("HostName 10.9.9.9", "HostName 10.9.9.9\n Port 2222", "", false),
        ("ProxyJump gate-a", "ProxyJump gate-b", "HostName 10.9.9.9", false),
        ("ProxyJump gate-a", "", "HostName 10.9.9.9", false),
        ("ProxyCommand connect a %h %p", "ProxyCommand connect b %h %p", "HostName 10.9.9.9", false),
        ("", "", "HostName 10.9.9.9\nProxyCommand connect %h %p", true),
        ("", "", "HostName 10.9.9.9\nProxyCommand connect %n", false),
        ("HostKeyAlias a", "HostKeyAlias b", "HostName 10.9.9.9", false),
        ("BindAddress 10.1.1.1", "BindAddress 10.1.1.2", "HostName 10.9.9.9", false),
        ("BindInterface vpn1", "BindInterface vpn2", "HostName 10.9.9.9", false),
        ("UserKnownHostsFile /nowhere/a", "UserKnownHostsFile /nowhere/b", "HostName 10.9.9.9", false),
    ]

    @Test(arguments: pairs) func byTheConfiguration(_ pair: (String, String, String, areSame: Bool)) throws {
        let ssh = try configured("Host a\n \(pair.0)\nHost b\n \(pair.1)\nHost *\n \(pair.2)\n")
        let (one, two) = (HostIdentity(name: "a", program: ssh), HostIdentity(name: "b", program: ssh))
        #expect(one.isSame(as: two) == pair.areSame)
        #expect(two.isSame(as: one) == pair.areSame)
        #expect(one.isSame(as: one))
    }

    /// Of two names: a for 10.9.9.9, b for 10.9.9.8.
    private static let keys: [(known: [String], lines: String, areSame: Bool)] = [
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("a"))"], "", true),
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("b"))"], "", false),
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("a"))", "10.9.9.8 \(key("b"))"], "", false),
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("a"))"], "StrictHostKeyChecking no", false),
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("a"))"], "StrictHostKeyChecking accept-new", false),
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("a"))"], "VerifyHostKeyDNS yes", false),
        (["10.9.9.9 \(key("a"))", "10.9.9.8 \(key("a"))", "@revoked * \(key("a"))"], "", false),
    ]

    @Test(arguments: keys) func byTheirKeys(_ known: [String], _ lines: String, _ areSame: Bool) throws {
        let file = "\(folder)/known"
        try (known.joined(separator: "\n") + "\n").write(toFile: file, atomically: true, encoding: .utf8)
        let ssh = try configured(
            "Host a\n HostName 10.9.9.9\nHost b\n HostName 10.9.9.8\nHost *\n UserKnownHostsFile \(file)\n "
                + "GlobalKnownHostsFile none\n \(lines)\n")
        #expect(HostIdentity(name: "a", program: ssh).isSame(as: HostIdentity(name: "b", program: ssh)) == areSame)
    }

    /// Behind two gateways there may be two hosts of one address, and keys of both are known of it.
    @Test func theKeysOfOneAddressDoNotTellTwoWaysApart() throws {
        let file = "\(folder)/known"
        try "10.9.9.9 \(Self.key("a"))\n".write(toFile: file, atomically: true, encoding: .utf8)
        let ssh = try configured(
            "Host a\n ProxyJump gate-a\nHost b\n ProxyJump gate-b\nHost *\n HostName 10.9.9.9\n UserKnownHostsFile \(file)\n"
        )
        #expect(!HostIdentity(name: "a", program: ssh).isSame(as: HostIdentity(name: "b", program: ssh)))
    }

    /// The program looks names up, and another finds others. What was handed down is compared, and never run.
    @Test func byTheProgram() throws {
        let one = try configured("Host bench\n HostName 10.9.9.9\n")
        let two = try configured("Host bench\n HostName 10.9.9.8\n", named: "other")
        let bench = HostIdentity(name: "bench", program: one)
        #expect(!bench.isSame(as: HostIdentity(name: "bench", program: two)))
        #expect(!bench.isSame(as: HostIdentity(name: "bench")))
        #expect(!bench.isSame(as: HostIdentity(name: "bench", program: one + ["-v"])))
        let evil = "\(folder)/ssh"
        try "#!/bin/sh\ntouch \(folder)/ran\n".write(toFile: evil, atomically: true, encoding: .utf8)
        chmod(evil, 0o755)
        #expect(!HostIdentity(name: "a", program: [evil]).isSame(as: HostIdentity(name: "bench")))
        #expect(!HostIdentity(name: "bench", program: [evil]).isSame(as: HostIdentity(name: "bench")))
        #expect(!FileManager.default.fileExists(atPath: "\(folder)/ran"))
        #expect(!HostIdentity(word: "bench|").isSame(as: HostIdentity(name: "bench")))
        // Of another program nothing else is known.
        #expect(bench.isSame(as: HostIdentity(name: "bench", program: ["/opt/rsh"])))
        #expect(!bench.isSame(as: HostIdentity(name: "b", program: ["/opt/rsh"])))
        #expect(!HostIdentity(name: "a", program: ["a"]).isSame(as: HostIdentity(name: "b", program: ["b"])))
    }

    /// For one user a name may be another host's.
    @Test func byTheUser() throws {
        let ssh = try configured(
            "Match originalhost bench user root\n HostName 10.9.9.8\nHost bench\n HostName 10.9.9.9\nHost plain\n User x\n"
        )
        func identity(_ name: String, _ user: String?) -> HostIdentity {
            HostIdentity(name: name, user: user, program: ssh)
        }
        #expect(!identity("bench", "lab").isSame(as: identity("bench", "root")))
        #expect(!identity("bench", "root").isSame(as: identity("bench", "lab")))
        #expect(identity("bench", "lab").isSame(as: identity("bench", "ann")))
        #expect(identity("bench", "root").isSame(as: identity("bench", "root")))
        #expect(identity("plain", "root").isSame(as: identity("plain", nil)))
        // An older semq doesn't tell the user.
        func older(_ name: String) -> HostIdentity { HostIdentity(word: identity(name, "lab").olderWord) }
        #expect(!older("bench").isSame(as: identity("bench", "root")))
        #expect(
            older("plain").isSame(as: identity("plain", "root")) && older("plain").isSame(as: identity("plain", nil)))
    }

    /// Its configuration says what a name means.
    @Test(arguments: [
        "bench|ssh|lab|\(getuid() + 1)", "bench|ssh|lab|\(getuid()).1.2", "bench|ssh||", "bench|ssh|lab|x",
        "bench|ssh|lab",
    ])
    func byTheAccount(_ word: String) {
        let own = HostIdentity(name: "bench", user: "lab")
        #expect(!HostIdentity(word: word).isSame(as: own))
        #expect(HostIdentity(word: own.word).isSame(as: own))
        #expect(own.word.hasPrefix("bench|ssh|lab|\(getuid())."), "of a container with the same number it is another")
    }

    @Test func comesBackAsItWent() {
        #expect(HostIdentity(name: "bench:2222").olderWord == "bench:2222")
        #expect(HostIdentity(name: "bench", user: "lab", program: ["ssh"]).olderWord == "bench")
        #expect(HostIdentity(word: "bench").word == "bench")
        let identity = HostIdentity(name: "bench", user: "a|b c", program: ["ssh", "-F", "/a/100%|x", "-o", "X=y"])
        #expect(HostIdentity(word: identity.word) == identity)
        #expect(!identity.word.contains { $0 == " " || $0 == "/" || $0 == "\n" })
    }

    @Test func aFileIsNamedForEveryFolder() {
        let here = FileManager.default.currentDirectoryPath
        #expect(HostIdentity(name: "b", program: ["ssh", "-F", "c"]).program == ["ssh", "-F", "\(here)/c"])
        #expect(HostIdentity(name: "b", program: ["ssh", "-Fc"]).program == ["ssh", "-F\(here)/c"])
        #expect(HostIdentity(name: "b", program: ["./rsh", "-Fc"]).program[0] == "\(here)/./rsh")
    }
}
