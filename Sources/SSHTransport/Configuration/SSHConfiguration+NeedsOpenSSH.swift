extension SSHConfiguration {
    /// The types of keys, a user's and a host's, that libssh2 1.10 can use.
    package static let ownKeyTypes: Set = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    ]

    /// Why a connection must go by way of the program `ssh`, in one clause; nil where libssh2 can follow the
    /// configuration.
    ///
    /// What can't be known beforehand, such as which keys an agent has, or that the host wants a password, is
    /// not judged here.
    /// - Parameter types: the types of keys that libssh2 can use.
    package func needsOpenSSH(types: Set<String> = ownKeyTypes) -> String? {
        if let proxyJump { return "ProxyJump is set (\(Printable.text(proxyJump)))" }
        if let proxyCommand { return "ProxyCommand is set (\(Printable.text(proxyCommand)))" }
        if let reason = onlyOpenSSH.first { return reason }
        if let revokedHostKeys { return "RevokedHostKeys is set (\(Printable.text(revokedHostKeys)))" }
        let signed = hostKeyAlgorithms.map { $0.hasPrefix("rsa-sha2-") ? "ssh-rsa" : $0 }
        if !signed.isEmpty, types.isDisjoint(with: signed) {
            return
                "HostKeyAlgorithms allows none that libssh2 has (\(Printable.text(hostKeyAlgorithms.joined(separator: ","))))"
        }
        return needsOpenSSHToLogIn(types)
    }

    private func needsOpenSSHToLogIn(_ types: Set<String>) -> String? {
        if !publicKeyAuthentication { return "PubkeyAuthentication is off" }
        if let methods = preferredAuthentications, !methods.contains("publickey") {
            return "PreferredAuthentications has no publickey (\(Printable.text(methods.joined(separator: ","))))"
        }
        if let certificate = certificateFiles.first ?? identities.lazy.compactMap(\.certificate).first {
            return "\(certificate) is a certificate"
        }
        // An agent may have another key, unless only these may be used.
        guard identityAgent == nil || identitiesOnly, !identities.isEmpty else { return nil }
        let kinds = identities.map { identity in identity.type.map { types.contains($0) ? nil : $0 } ?? nil }
        guard let kind = kinds[0], kinds.allSatisfy({ $0 != nil }) else { return nil }
        return "\(identities[0].path) is a key that libssh2 can't use (\(kind))"
    }
}
