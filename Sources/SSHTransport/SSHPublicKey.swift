/// A host's or a user's public key.
package struct SSHPublicKey: Hashable, Sendable {
    /// Such as `ssh-ed25519`.
    package let type: String
    /// As it goes over the wire, beginning with the type (RFC 4253, section 6.6).
    package let blob: [UInt8]

    /// - Returns: nil unless the blob begins with the name of a type, and has something behind it.
    package init?(blob: [UInt8]) {
        var reader = SSHReader(blob[...])
        guard let name = reader.string(), (1...64).contains(name.count),
            name.allSatisfy({ (0x21..<0x7F).contains($0) }),
            !reader.rest.isEmpty
        else { return nil }
        type = String(decoding: name, as: UTF8.self)
        self.blob = blob
    }

    /// - Parameter line: `ssh-ed25519 AAAA… comment`, as in a `.pub` file.
    package init?(line: ArraySlice<UInt8>) {
        var words = SSHWords(line)
        guard let name = words.next(), let text = words.next(), let blob = Base64.decode(text) else { return nil }
        self.init(blob: blob)
        guard type.utf8.elementsEqual(name) else { return nil }
    }

    /// Nothing is missing at its end: it's strings throughout, as all keys are, but no certificate.
    var isWhole: Bool {
        var reader = SSHReader(blob[...])
        while !reader.rest.isEmpty {
            guard reader.string() != nil else { return false }
        }
        return true
    }

    /// `ssh-ed25519 AAAA…`
    package var line: String { "\(type) \(Base64.encode(blob))" }

    /// As `ssh-keygen -l` prints it.
    package var fingerprint: String { "SHA256:\(Base64.encode(SHA256.hash(blob), padded: false))" }

    /// The kind of key as people know it, such as `ED25519`.
    package var kind: String {
        switch type {
        case "ssh-ed25519": "ED25519"
        case "ssh-rsa": "RSA"
        case "ssh-dss": "DSA"
        case "sk-ssh-ed25519@openssh.com": "ED25519-SK"
        case "sk-ecdsa-sha2-nistp256@openssh.com": "ECDSA-SK"
        case _ where type.hasPrefix("ecdsa-sha2-"): "ECDSA"
        default: type
        }
    }
}
