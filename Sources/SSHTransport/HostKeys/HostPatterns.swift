/// The names field of a known_hosts line: patterns, of which none may say no; or one hashed name.
struct HostPatterns {
    private let text: ArraySlice<UInt8>

    init(_ text: ArraySlice<UInt8>) { self.text = text }

    var isHashed: Bool { text.first == UInt8(ascii: "|") }

    /// Whether it may stand for other hosts, too.
    var isWild: Bool { !isHashed && text.contains { "*?,!".utf8.contains($0) } }

    /// - Parameter name: in small letters, with brackets and port where that isn't 22.
    func match(_ name: [UInt8]) -> Bool {
        if isHashed { return matchesHash(of: name) }
        var isMatched = false
        for pattern in text.split(separator: UInt8(ascii: ",")) {
            if pattern.first == UInt8(ascii: "!") {
                if Self.match(pattern.dropFirst(), name) { return false }
            } else if !isMatched {
                isMatched = Self.match(pattern, name)
            }
        }
        return isMatched
    }

    /// `|1|salt|HMAC-SHA1(salt, name)`
    private func matchesHash(of name: [UInt8]) -> Bool {
        let fields = text.split(separator: UInt8(ascii: "|"), omittingEmptySubsequences: false)
        guard fields.count == 4, fields[1].elementsEqual("1".utf8), let salt = Base64.decode(fields[2]),
            let hash = Base64.decode(fields[3]), salt.count == Self.saltSize
        else { return false }
        return BlockDigest<SHA1>.authenticationCode(key: salt, message: name) == hash
    }

    private static let saltSize = 20

    /// The field for one name that isn't to be read.
    static func hashed(_ name: [UInt8]) -> String {
        let salt = (0..<saltSize).map { _ in UInt8.random(in: .min ... .max) }
        let hash = BlockDigest<SHA1>.authenticationCode(key: salt, message: name)
        return "|1|\(Base64.encode(salt))|\(Base64.encode(hash))"
    }

    /// `*` is any text, `?` any one byte. A star that failed is tried one byte further, only the newest one:
    /// so no pattern takes more than the product of the lengths.
    private static func match(_ pattern: ArraySlice<UInt8>, _ name: [UInt8]) -> Bool {
        var (at, position) = (pattern.startIndex, 0)
        var retry: (at: Int, position: Int)?
        while position < name.count {
            if at < pattern.endIndex, pattern[at] == UInt8(ascii: "*") {
                retry = (at + 1, position)
                at += 1
            } else if at < pattern.endIndex,
                pattern[at] == UInt8(ascii: "?") || pattern[at].lowercased == name[position]
            {
                (at, position) = (at + 1, position + 1)
            } else if let star = retry {
                retry = (star.at, star.position + 1)
                (at, position) = (star.at, star.position + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

extension UInt8 {
    /// ASCII letters only, as in host names.
    var lowercased: UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self + 0x20 : self }
}
