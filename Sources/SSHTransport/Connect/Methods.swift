internal import CLibSSH2

/// The algorithms that may be offered: what libssh2 has less what is broken (SHA-1, MD5, CBC, arcfour, DSA, group 1,
/// and `ssh-rsa`, which signs with SHA-1).
enum Methods {
    static let keyExchange = [
        "curve25519-sha256", "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512", "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group14-sha256",
    ]
    static let hostKeys = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "rsa-sha2-512", "rsa-sha2-256",
    ]
    static let ciphers = [
        "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr",
    ]
    static let authenticators = [
        "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512",
    ]

    /// The host key methods for a host: those of the keys that are known of it, else all.
    /// - Parameter known: key types of known_hosts, empty where the host is unknown.
    static func hostKeys(known: [String]) -> [String] {
        guard !known.isEmpty else { return hostKeys }
        return hostKeys.filter { method in
            known.contains(method) || method.hasPrefix("rsa-") && known.contains("ssh-rsa")
        }
    }

    /// Those of `methods` that this libssh2 has.
    static func supported(_ methods: [String], as kind: Int32, in session: OpaquePointer) -> [String] {
        var list: UnsafeMutablePointer<UnsafePointer<CChar>?>?
        let count = libssh2_session_supported_algs(session, kind, &list)
        guard count > 0, let list else { return [] }
        defer { libssh2_free(session, list) }
        let present = (0..<Int(count)).compactMap { list[$0].map { String(cString: $0) } }
        return methods.filter { present.contains($0) }
    }

    /// Restricts what the session offers.
    /// - Returns: false where nothing is left to offer.
    static func restrict(_ session: OpaquePointer, hostKeys: [String]) -> Bool {
        let lists: [(Int32, [String])] = [
            (LIBSSH2_METHOD_KEX, keyExchange), (LIBSSH2_METHOD_HOSTKEY, hostKeys),
            (LIBSSH2_METHOD_CRYPT_CS, ciphers), (LIBSSH2_METHOD_CRYPT_SC, ciphers),
            (LIBSSH2_METHOD_MAC_CS, authenticators), (LIBSSH2_METHOD_MAC_SC, authenticators),
        ]
        for (kind, methods) in lists {
            let present = supported(methods, as: kind, in: session)
            guard !present.isEmpty else { return false }
            var line = ""
            for method in present { line += line.isEmpty ? method : "," + method }
            guard libssh2_session_method_pref(session, kind, line) == 0 else { return false }
        }
        return true
    }
}
