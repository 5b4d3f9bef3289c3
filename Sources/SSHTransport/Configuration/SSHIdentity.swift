internal import Glibc

/// A key that the user may prove to have, as an `IdentityFile` names it.
package struct SSHIdentity: Hashable, Sendable {
    package var path: String
    /// The private key is in that file. If not, an agent may have it.
    package var hasPrivateKey = false
    /// From the private key's header, or from the `.pub` file beside it. An agent is asked for this one.
    package var publicKey: SSHPublicKey?
    /// Such as `ssh-ed25519`; nil where the file doesn't tell without a passphrase.
    package var type: String?
    /// Such as `aes256-ctr`; nil for a key without passphrase.
    package var cipher: String?
    /// A certificate that OpenSSH would use with it, `-cert.pub`.
    package var certificate: String?

    /// Looks at the file, and at those beside it.
    package init(path: String) {
        self.path = path
        if access("\(path)-cert.pub", R_OK) == 0 { certificate = "\(path)-cert.pub" }
        // Enough for the header of an RSA key of 16,384 bits, which stands before the private part.
        var head = Self.head(of: path, count: 8 << 10)
        defer { head.wipe() }
        readPrivate(head)
        if publicKey == nil, !hasPrivateKey { publicKey = Self.publicKey(head) }
        if publicKey == nil { publicKey = Self.publicKey(Self.head(of: "\(path).pub", count: 32 << 10)) }
        type = publicKey?.type ?? type
    }

    /// There is nothing of this name, neither a private key nor a public one.
    package var isAbsent: Bool { !hasPrivateKey && publicKey == nil && access(path, F_OK) != 0 }

    private mutating func readPrivate(_ head: [UInt8]) {
        let lines = head.split(separator: UInt8(ascii: "\n"))
        guard let label = lines.first.map({ String(decoding: $0, as: UTF8.self) }), label.hasPrefix("-----BEGIN "),
            label.contains("PRIVATE KEY-----")
        else { return }
        hasPrivateKey = true
        switch label.dropFirst("-----BEGIN ".count).prefix(while: { $0 != "-" }) {
        case "OPENSSH PRIVATE KEY": readOpenSSH(lines.dropFirst())
        case "RSA PRIVATE KEY": type = "ssh-rsa"
        case "DSA PRIVATE KEY": type = "ssh-dss"
        case "ENCRYPTED PRIVATE KEY": cipher = "PKCS #8"
        default: break
        }
        let procType = lines.dropFirst().first { $0.starts(with: "Proc-Type:".utf8) }
        if let procType, String(decoding: procType, as: UTF8.self).contains("ENCRYPTED") { cipher = "PEM" }
    }

    /// Secrets lie behind the header; so the calls below keep nothing, and what they were given is wiped.
    private mutating func readOpenSSH(_ lines: ArraySlice<ArraySlice<UInt8>>) {
        var digits = Self.digits(lines)
        var bytes = Base64.decode(digits[...]) ?? []
        digits.wipe()
        readHeader(bytes)
        bytes.wipe()
    }

    private static func digits(_ lines: ArraySlice<ArraySlice<UInt8>>) -> [UInt8] {
        var digits: [UInt8] = []
        digits.reserveCapacity(lines.reduce(0) { $0 + $1.count })
        for line in lines.prefix(while: { $0.first != UInt8(ascii: "-") }) {
            for byte in line where byte > 0x20 { digits.append(byte) }
        }
        digits.removeLast(digits.count % 4)
        return digits
    }

    /// The header of OpenSSH's own format (PROTOCOL.key) has the public key in clear.
    private mutating func readHeader(_ bytes: [UInt8]) {
        let magic = Array("openssh-key-v1\0".utf8)
        guard bytes.starts(with: magic) else { return }
        var reader = SSHReader(bytes[magic.count...])
        guard let cipher = reader.string(), reader.string() != nil, reader.string() != nil, reader.integer() == 1,
            let blob = reader.string()
        else { return }
        self.cipher = cipher.elementsEqual("none".utf8) ? nil : String(decoding: cipher, as: UTF8.self)
        publicKey = SSHPublicKey(blob: Array(blob))
    }

    private static func publicKey(_ text: [UInt8]) -> SSHPublicKey? {
        text.split(separator: UInt8(ascii: "\n")).first.flatMap { SSHPublicKey(line: $0) }
    }

    private static func head(of path: String, count: Int) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            used = max(0, read(descriptor, buffer.baseAddress, count))
        }
    }
}

extension [UInt8] {
    /// Overwrites what may be secret. Only where this array is the only one that has the bytes.
    mutating func wipe() {
        withUnsafeMutableBytes { bytes in
            if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) }
        }
    }
}
