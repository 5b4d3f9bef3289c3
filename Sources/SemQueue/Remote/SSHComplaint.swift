/// What `ssh` has said on standard error when it could not log in, as a sentence: its last lines, or what matters
/// where that stands further up, or isn't told. Its sentences are OpenSSH's own, which has not changed them for many
/// years.
struct SSHComplaint {
    private let lines: [String]

    init(_ lines: [String]) { self.lines = lines }

    var text: String {
        changedKey ?? revokedKey ?? unknownKey ?? tooManyKeys ?? unknownName ?? lines.suffix(3).joined(by: "; ")
    }

    /// Host key or user were not accepted.
    var isRefusal: Bool { has("Permission denied", Self.verification, "REMOTE HOST IDENTIFICATION", Self.tooMany) }

    /// So ends, before any word, a connection too many for sshd (MaxStartups): more come together than log in.
    var isCrowded: Bool { has("(MaxStartups)", "kex_exchange_identification") }

    private func has(_ parts: String...) -> Bool {
        let text = text
        return parts.contains { text.contains($0) }
    }

    private static let verification = "Host key verification failed"
    private static let tooMany = "Too many authentication failures"

    private func line(_ part: String) -> String? { lines.last { $0.contains(part) } }

    private var changedKey: String? {
        guard line("REMOTE HOST IDENTIFICATION HAS CHANGED") != nil else { return nil }
        let key = lines.first { $0.hasPrefix("SHA256:") }.map { " \($0.last == "." ? $0.dropLast() : $0[...])" } ?? ""
        let offending = lines.first { $0.hasPrefix("Offending ") }?.split(separator: " ").last
        return "the host's key\(key) is not the one known before\(offending.map { " (\($0))" } ?? ""): somebody may be "
            + "listening in, or the host was set up anew; ask its admin, and if the new key is right, remove the old one "
            + "and connect again; \(Self.verification)."
    }

    private var revokedKey: String? {
        guard line("REVOKED HOST KEY DETECTED") != nil else { return nil }
        // The ED25519 host key for bench is marked as revoked.
        let words = line("is marked as revoked")?.split(separator: " ") ?? []
        return "the host's\(words.count > 1 ? " \(words[1])" : "") key is revoked: somebody may have stolen it; don't "
            + "connect, and ask the host's admin for a new key; \(Self.verification)."
    }

    /// Of a key that it doesn't know it says nothing at all where it can't ask.
    private var unknownKey: String? {
        guard lines.count == 1, lines[0].hasPrefix(Self.verification) else { return nil }
        return "the host's key is not known: log in once by ssh, and say yes if it is the key that the host's admin "
            + "tells; \(Self.verification)."
    }

    private var tooManyKeys: String? {
        line(Self.tooMany).map { "\($0); if an agent has many keys, name one with IdentityFile and IdentitiesOnly" }
    }

    private var unknownName: String? {
        line("Could not resolve hostname").map { "\($0): check the name, and the name server" }
    }
}
