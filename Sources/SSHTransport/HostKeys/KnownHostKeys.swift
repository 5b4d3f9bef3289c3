/// All that the known_hosts files say of one host.
package struct KnownHostKeys: Sendable {
    /// The host's name in the files.
    package let name: String
    /// Keys of the host, the revoked among them, too.
    private let known: [KnownHostKey]
    private let revoked: [KnownHostKey]
    /// The keys are those of port 22. They serve for other ports, but another key there has not changed.
    private let isBorrowed: Bool
    /// Who may sign certificates of this host.
    private let authorities: [KnownHostKey]

    init(name: String, own: [KnownHostKey], ofPlainName others: [KnownHostKey]) {
        self.name = name
        isBorrowed = !own.contains { $0.marker == nil }
        known = (isBorrowed ? others : own).filter { $0.marker == nil }
        revoked = (own + others).filter { $0.marker == .revoked }
        authorities = (own + others).filter { $0.marker == .certificateAuthority }
    }

    private func isRevoked(_ key: SSHPublicKey) -> Bool { revoked.contains { $0.key == key } }

    /// The keys that the host may show.
    package var trusted: [KnownHostKey] { known.filter { !isRevoked($0.key) } }

    /// The types of the trusted keys, the best first: what to ask the host for before anything else.
    package var types: [String] {
        let best = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
        let types = trusted.map(\.key.type)
        var ordered = best.filter(types.contains)
        for type in types where !ordered.contains(type) { ordered.append(type) }
        return ordered
    }

    package func verdict(on key: SSHPublicKey) -> HostKeyVerdict {
        if let entry = revoked.first(where: { $0.key == key }) { return .revoked(entry) }
        if let entry = known.first(where: { $0.key == key }) { return .known(entry) }
        guard !isBorrowed else { return .unknown }
        let sameType = known.filter { $0.key.type == key.type }
        return sameType.isEmpty ? .otherTypesKnown(known) : .changed(sameType)
    }

    /// Why OpenSSH must judge this host's key, in one clause; nil where that can be done here.
    /// - Parameter types: what this program can check.
    package func needsOpenSSH(types: Set<String> = SSHConfiguration.ownKeyTypes) -> String? {
        if let authority = authorities.first(where: { !isRevoked($0.key) }) {
            return "\(authority.place) trusts a certificate authority for \(name), and libssh2 can't check certificates"
        }
        guard let first = trusted.first, types.isDisjoint(with: trusted.map(\.key.type)) else { return nil }
        return "of \(name) only the \(first.key.kind) key is known (\(first.place)), which libssh2 can't check"
    }
}
