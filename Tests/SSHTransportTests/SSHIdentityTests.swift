import Foundation
import Testing

@testable import SSHTransport

/// What a key file tells without its passphrase.
@Suite struct SSHIdentityTests {
    private let workshop: Workshop

    init() throws { workshop = try Workshop() }

    private func identity(_ name: String) -> SSHIdentity { SSHIdentity(path: workshop.path(name)) }

    @Test(arguments: [
        ("ed25519", "", "ssh-ed25519"), ("ecdsa", "256", "ecdsa-sha2-nistp256"),
        ("ecdsa", "521", "ecdsa-sha2-nistp521"),
        ("rsa", "2048", "ssh-rsa"),
    ])
    func theHeaderHasThePublicKey(_ type: String, _ bits: String, _ name: String) throws {
        for (passphrase, cipher) in [("", nil), ("secret", "aes256-ctr")] as [(String, String?)] {
            let options = bits.isEmpty ? [] : ["-b", bits]
            let file = "key\(passphrase)"
            let key = try workshop.key(file, options, type: type, passphrase: passphrase)
            unlink(workshop.path("\(file).pub"))
            let found = identity(file)
            #expect(found.publicKey == key)
            #expect(found.type == name)
            #expect(found.cipher == cipher)
            #expect(found.hasPrivateKey)
            #expect(!found.isAbsent)
            #expect(found.certificate == nil)
        }
    }

    @Test func ciphersThatLibssh2LacksAreNamed() throws {
        try workshop.key("key", ["-Z", "aes256-gcm@openssh.com"], passphrase: "secret")
        #expect(identity("key").cipher == "aes256-gcm@openssh.com")
    }

    @Test func olderFormats() throws {
        let key = try workshop.key("pem", ["-m", "PEM"], type: "ecdsa")
        #expect(identity("pem").publicKey == key)
        #expect(identity("pem").cipher == nil)
        try workshop.key("locked", ["-m", "PEM", "-b", "2048"], type: "rsa", passphrase: "secret")
        #expect(identity("locked").cipher == "PEM")
        unlink(workshop.path("locked.pub"))
        #expect(identity("locked").type == "ssh-rsa")
        #expect(identity("locked").publicKey == nil)
        try workshop.key("pkcs8", ["-m", "PKCS8"], type: "ecdsa", passphrase: "secret")
        #expect(identity("pkcs8").cipher == "PKCS #8")
    }

    @Test func aKeyThatOnlyAnAgentHas() throws {
        let key = try workshop.key("key")
        unlink(workshop.path("key"))
        for name in ["key", "key.pub"] {
            #expect(identity(name).publicKey == key)
            #expect(!identity(name).hasPrivateKey)
            #expect(!identity(name).isAbsent)
        }
        #expect(identity("other").isAbsent)
        #expect(identity("other/key").isAbsent)
    }

    @Test func aCertificateBesideIt() throws {
        try workshop.key("ca")
        try workshop.key("key")
        try workshop.run("ssh-keygen", "-q", "-s", workshop.path("ca"), "-I", "test", workshop.path("key.pub"))
        #expect(identity("key").certificate == workshop.path("key-cert.pub"))
        #expect(identity("ca").certificate == nil)
    }

    @Test(arguments: [
        "", "\n", "-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA/////w==\n", "-----BEGIN", "ssh-ed25519 AAAA",
        "\u{0}\u{1}\u{2}",
    ])
    func garbageTellsNothing(_ text: String) throws {
        try workshop.write("key", text)
        #expect(identity("key").publicKey == nil)
        #expect(identity("key").type == nil)
        #expect(!identity("key").isAbsent)
    }
}
