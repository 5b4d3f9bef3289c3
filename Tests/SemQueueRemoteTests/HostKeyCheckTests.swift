import Foundation
import SemQueueTestSupport
import Testing

/// What `known_hosts` says of a host, and what semq does: its exit code and its message.
@Suite(.onHosts) struct HostKeyCheckTests {
    private let bench: TestHost
    private let client: TestHost
    /// The lines of `known_hosts` that are right.
    private let right: [String]

    init() throws {
        let lab = try TestLab()
        bench = try lab.host("bench", HostOptions { $0.hostKeys = ["ed25519"] })
        client = try lab.client("one")
        right = client.read("/root/.ssh/known_hosts").split(separator: "\n").map(String.init)
    }

    /// Its type and its digits.
    private var key: String { right[0].split(separator: " ").dropFirst().joined(separator: " ") }

    /// Another key.
    private func other(_ type: String) throws -> String {
        let made = try client.shell("ssh-keygen -q -t \(type) -N '' -f /tmp/\(type) && cat /tmp/\(type).pub")
        try #require(made.status == .exited(0), "\(made.err)")
        return made.out.split(separator: " ").prefix(2).joined(separator: " ")
    }

    private func know(_ lines: [String]) throws {
        let text = lines.map { $0 + "\n" }.joined()
        try text.write(toFile: client.root + "/root/.ssh/known_hosts", atomically: false, encoding: .utf8)
    }

    private func words(_ transport: Transport) -> [String] {
        ["semq", "acquire", "-q", "lab@bench:board.queue"] + transport.options + ["--", "echo", "in"]
    }

    @Test(arguments: Transport.allCases) func whoIsLetIn(_ transport: Transport) throws {
        let hashing = "cd /tmp && cp ~/.ssh/known_hosts h && ssh-keygen -q -H -f h 2>/dev/null; cat h"
        let hashed = try client.shell(hashing).out
        let files: [(about: String, lines: [String])] = [
            ("garbage before it", ["garbage in, garbage out", "bench ssh-ed25519 !!!", "@x bench \(key)", right[0]]),
            ("a wildcard", ["elsewhere,b?n* \(key)"]),
            ("hashed", hashed.split(separator: "\n").map(String.init)),
            ("another key revoked", ["@revoked * \(try other("ed25519"))", right[0]]),
        ]
        for (about, lines) in files {
            try know(lines)
            let result = try client.start(words(transport)).wait()
            #expect(result == .init(status: .exited(0), out: "in\n", err: ""), "\(about)")
        }
    }

    @Test(arguments: Transport.allCases) func whoIsRefused(_ transport: Transport) throws {
        let print = try client.shell("ssh-keygen -lf ~/.ssh/known_hosts").out.split(separator: " ")[1]
        let isOwn = transport == .own
        let unknown = isOwn ? "the host's ED25519 key \(print) is unknown" : "the host's key is not known: log in"
        let revoked = isOwn ? "key \(print) is revoked in /root/.ssh/known_hosts:1" : "host's ED25519 key is revoked"
        let files: [(about: String, lines: [String], text: String)] = [
            ("no line", [], unknown),
            ("another's line", ["!bench,b* \(key)"], unknown),
            ("revoked", ["@revoked * \(key)", right[0]], "\(revoked): somebody may have stolen it; don't connect"),
            ("changed", ["bench \(try other("ed25519"))"], "\(print) is not the one known before"),
            // It is asked for the type that is known, which it doesn't have.
            ("another type", ["bench \(try other("ecdsa"))"], "\(print) is not the one known before"),
            ("RSA", ["bench \(try other("rsa"))"], "\(print) is not the one known before"),
        ]
        for (about, lines, text) in files {
            try know(lines)
            let result = try client.start(words(transport)).wait()
            #expect(result.status == .exited(77) && result.out == "", "\(about): \(result)")
            #expect(result.err.hasPrefix("semq: lab@bench: ") && result.err.contains(text), "\(about): \(result.err)")
            #expect(result.err.split(separator: "\n").count == 1, "\(about): \(result.err)")
            #expect(client.read("/root/.ssh/known_hosts") == lines.map { $0 + "\n" }.joined())
        }

        // Root could read it all the same.
        _ = try client.shell("chmod 000 ~/.ssh/known_hosts", user: "lab")
        let unreadable = try client.start(words(transport), user: "lab").wait()
        #expect(unreadable.status == .exited(77), "\(unreadable)")
        #expect(unreadable.err.hasPrefix("semq: lab@bench: "), "\(unreadable.err)")
        #expect(unreadable.err.contains(/\/home\/lab\/.ssh\/known_hosts: .*Permission denied/), "\(unreadable.err)")
    }

    /// By several at once, and only as long as nothing is known.
    @Test(arguments: Transport.allCases) func aNewHostIsAccepted(_ transport: Transport) throws {
        _ = try client.shell("echo StrictHostKeyChecking accept-new >>~/.ssh/config")
        try know([])
        let several = try (0..<4).map { _ in try client.start(words(transport)) }
        for running in several {
            let result = running.wait()
            #expect(result.status == .exited(0) && result.out == "in\n", "\(result)")
        }
        let lines = client.read("/root/.ssh/known_hosts").split(separator: "\n")
        #expect(lines.allSatisfy { $0.hasSuffix(" \(key)") }, "\(lines)")
        // ssh doesn't look again before it writes.
        #expect(transport == .own ? lines.count == 1 : !lines.isEmpty, "\(lines)")
        #expect(try client.start(words(transport)).wait().status == .exited(0))

        for line in ["bench \(try other("ed25519"))", "@revoked bench \(key)"] {
            try know([line])
            let result = try client.start(words(transport)).wait()
            #expect(result.status == .exited(77), "\(result)")
            #expect(client.read("/root/.ssh/known_hosts") == line + "\n")
        }
    }
}
