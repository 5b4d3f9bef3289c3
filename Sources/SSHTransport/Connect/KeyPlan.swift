/// Which keys to offer, and in which order. A server ends the conversation after a few wrong ones
/// (`MaxAuthTries`, 6 by default), so what was configured comes before what an agent happens to have.
struct KeyPlan {
    enum Offer: Hashable {
        /// The agent signs.
        case agent(SSHPublicKey, comment: String)
        /// The key is in a file, without a passphrase.
        case file(SSHIdentity)
        /// The key is in a file, and somebody has to be asked for its passphrase.
        case encrypted(SSHIdentity)
    }

    private(set) var offers: [Offer] = []
    /// What only OpenSSH can use, as in "the RSA key /home/ann/.ssh/id_rsa".
    private(set) var leftOut: [String] = []

    /// What libssh2 1.10 can sign with.
    static let types: Set<String> = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    ]
    /// How it can decrypt an OpenSSH key, and a PEM one.
    static let ciphers: Set<String> = ["aes256-ctr", "aes256-cbc", "aes192-ctr", "aes128-ctr", "PEM"]

    init(identities: [SSHIdentity], agent: [(key: SSHPublicKey, comment: String)], identitiesOnly: Bool) {
        var plain: [Offer] = []
        var encrypted: [Offer] = []
        var chosen: [SSHPublicKey] = []
        for identity in identities {
            if let key = identity.publicKey, let held = agent.first(where: { $0.key == key }) {
                guard !chosen.contains(key) else { continue }
                chosen.append(key)
                offer(held.key, comment: held.comment)
            } else if identity.hasPrivateKey {
                if let type = identity.type, !KeyPlan.types.contains(type) {
                    leftOut.append("the \(identity.publicKey?.kind ?? type) key \(identity.path)")
                } else if let cipher = identity.cipher {
                    guard KeyPlan.ciphers.contains(cipher) else {
                        leftOut.append("the key \(identity.path), which is encrypted with \(cipher)")
                        continue
                    }
                    encrypted.append(.encrypted(identity))
                } else {
                    plain.append(.file(identity))
                }
            }
        }
        offers += plain
        if !identitiesOnly {
            for (key, comment) in agent where !chosen.contains(key) { offer(key, comment: comment) }
        }
        offers += encrypted
    }

    private mutating func offer(_ key: SSHPublicKey, comment: String) {
        if KeyPlan.types.contains(key.type) {
            offers.append(.agent(key, comment: comment))
        } else {
            leftOut.append("the agent's \(key.kind) key \(Printable.text(comment))")
        }
    }
}
