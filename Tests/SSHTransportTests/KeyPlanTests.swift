import Testing

@testable import SSHTransport

@Suite struct KeyPlanTests {
    private func key(_ type: String, _ name: String) throws -> SSHPublicKey {
        var blob: [UInt8] = []
        blob.append(sshBytes: type.utf8)
        blob.append(sshBytes: name.utf8)
        return try #require(SSHPublicKey(blob: blob))
    }

    private func identity(
        _ path: String, _ key: SSHPublicKey?, isPrivate: Bool = true, cipher: String? = nil
    ) -> SSHIdentity {
        var identity = SSHIdentity(path: "/nowhere/\(path)")
        identity.publicKey = key
        identity.type = key?.type
        identity.hasPrivateKey = isPrivate
        identity.cipher = cipher
        return identity
    }

    @Test func whatIsConfiguredComesFirst() throws {
        let (a, b, c) = (try key("ssh-ed25519", "a"), try key("ssh-ed25519", "b"), try key("ssh-ed25519", "c"))
        let files = [
            identity("locked", a, cipher: "aes256-ctr"), identity("plain", b), identity("held", c, isPrivate: false),
        ]
        let other = try key("ecdsa-sha2-nistp256", "other")
        let plan = KeyPlan(identities: files, agent: [(other, "other"), (c, "c")], identitiesOnly: false)
        #expect(
            plan.offers == [
                .agent(c, comment: "c"), .file(files[1]), .agent(other, comment: "other"), .encrypted(files[0]),
            ])
        #expect(plan.leftOut.isEmpty)
    }

    @Test func anAgentSavesThePassphrase() throws {
        let a = try key("ssh-ed25519", "a")
        let plan = KeyPlan(
            identities: [identity("locked", a, cipher: "aes256-ctr")], agent: [(a, "a")], identitiesOnly: true)
        #expect(plan.offers == [.agent(a, comment: "a")])
    }

    @Test func onlyWhatIsConfigured() throws {
        let (a, b) = (try key("ssh-ed25519", "a"), try key("ssh-ed25519", "b"))
        let plan = KeyPlan(identities: [identity("a", a)], agent: [(b, "b")], identitiesOnly: true)
        #expect(plan.offers == [.file(identity("a", a))])
    }

    @Test func whatOnlyOpenSSHCanUseIsNamed() throws {
        let rsa = try key("ssh-rsa", "r")
        let hardware = try key("sk-ssh-ed25519@openssh.com", "s")
        let a = try key("ssh-ed25519", "a")
        let files = [identity("id_rsa", rsa), identity("gcm", a, cipher: "aes256-gcm@openssh.com")]
        let plan = KeyPlan(identities: files, agent: [(hardware, "tok\u{1b}en")], identitiesOnly: false)
        #expect(plan.offers.isEmpty)
        #expect(
            plan.leftOut == [
                "the RSA key /nowhere/id_rsa",
                "the key /nowhere/gcm, which is encrypted with aes256-gcm@openssh.com",
                "the agent's ED25519-SK key tok en",
            ])
    }

    @Test func aKeyIsOfferedOnce() throws {
        let a = try key("ssh-ed25519", "a")
        let files = [identity("a", a), identity("b", a)]
        #expect(
            KeyPlan(identities: files, agent: [(a, "a")], identitiesOnly: false).offers == [.agent(a, comment: "a")])
    }
}
