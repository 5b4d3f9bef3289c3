import Foundation
import Testing

@testable import SSHTransport

@Suite struct HostKeyTests {
    @Test func anUnknownHostIsRefused() throws {
        let server = try LoopbackServer()
        try server.workshop.write("known_hosts", "")
        let error = try server.failure()
        #expect(error.kind == .hostKey)
        #expect(error.phase == .hostKey)
        #expect(error.message.contains("ED25519 key SHA256:"))
        #expect(server.workshop.read("known_hosts") == "")
    }

    @Test func aNewHostIsTakenWhereTheConfigurationSaysSo() throws {
        let server = try LoopbackServer(hostKeys: ["ed25519", "ecdsa"])
        let known = server.workshop.read("known_hosts")
        try server.workshop.write("known_hosts", "")
        try server.connect(["StrictHostKeyChecking accept-new"]).close()
        let added = server.workshop.lines("known_hosts")
        #expect(added.count == 1)
        #expect(known.contains(added[0].split(separator: " ")[2]))
        // From now on it is known.
        try server.connect().close()
    }

    @Test func aChangedKeyIsRefusedWhateverTheConfigurationSays() throws {
        let server = try LoopbackServer()
        try server.workshop.key("other")
        let line = "[127.0.0.1]:\(server.port) \(server.workshop.read("other.pub"))"
        try server.workshop.write("known_hosts", line)
        for mode in ["yes", "accept-new", "no"] {
            let error = try server.failure(["StrictHostKeyChecking \(mode)"])
            #expect(error.kind == .hostKey)
            #expect(error.message.contains("is not the one known before"))
            #expect(server.workshop.read("known_hosts") == line)
        }
    }

    @Test func theKnownTypeOfKeyIsAskedFor() throws {
        // A file with one type of key must do, whichever type libssh2 likes best.
        for type in ["ed25519", "ecdsa"] {
            let server = try LoopbackServer(hostKeys: ["ed25519", "ecdsa"])
            let key = server.workshop.read("host_\(type).pub")
            try server.workshop.write("known_hosts", "[127.0.0.1]:\(server.port) \(key)")
            try server.connect(["StrictHostKeyChecking yes"]).close()
        }
    }

    @Test func aRevokedKeyIsRefused() throws {
        let server = try LoopbackServer()
        let known = server.workshop.read("known_hosts")
        try server.workshop.write("known_hosts", known + "@revoked " + known)
        let error = try server.failure()
        #expect(error.kind == .hostKey)
        #expect(error.message.contains("is revoked"))
    }

    @Test func anRSAHostKeyIsLeftToSSH() throws {
        let server = try LoopbackServer(hostKeys: ["rsa"])
        let error = try server.failure()
        #expect(error.kind == .unsupported)
        #expect(error.message.contains("only the RSA key is known"))
        // The same where nothing is known of the host yet, except that libssh2 1.11 can check such a key.
        try server.workshop.write("known_hosts", "")
        if Library.isMixed { return try server.connect(["StrictHostKeyChecking accept-new"]).close() }
        let later = try server.failure(["StrictHostKeyChecking accept-new"])
        #expect(later.kind == .unsupported)
        #expect(later.phase == .keyExchange)
    }

    @Test func aServerThatHasOnlyNewerMACsIsLeftToSSH() throws {
        let server = try LoopbackServer(["MACs hmac-sha2-256-etm@openssh.com", "Ciphers aes128-ctr"])
        // libssh2 1.11 has them, too.
        if Library.isMixed { return try server.connect().close() }
        let error = try server.failure()
        #expect(error.kind == .unsupported)
        #expect(
            error.message == "libssh2 and lab (127.0.0.1:\(server.port)) have no key exchange, cipher, MAC or type of "
                + "host key in common")
    }

    @Test func aServerThatHasOnlyBrokenMethodsIsNotTalkedTo() throws {
        let broken = [
            ["MACs hmac-sha1", "Ciphers aes128-ctr"], ["Ciphers aes128-cbc"],
            ["KexAlgorithms diffie-hellman-group14-sha1"],
        ]
        for lines in broken {
            let server = try LoopbackServer(lines)
            #expect(try server.failure().kind == .unsupported)
        }
    }
}
