/// One line of a known_hosts file that names hosts: `[@marker] names type key [comment]`.
struct KnownHostsLine {
    enum Marker {
        /// The key is never to be accepted.
        case revoked
        /// The key signs the certificates of hosts.
        case certificateAuthority
    }

    let marker: Marker?
    let hosts: HostPatterns
    private let rest: ArraySlice<UInt8>

    /// - Returns: nil for a comment, an empty line, or a marker that nobody knows.
    init?(_ line: ArraySlice<UInt8>) {
        var words = SSHWords(line)
        guard var word = words.next(), word.first != UInt8(ascii: "#") else { return nil }
        switch word {
        case _ where word.first != UInt8(ascii: "@"): marker = nil
        case _ where word.elementsEqual("@revoked".utf8): marker = .revoked
        case _ where word.elementsEqual("@cert-authority".utf8): marker = .certificateAuthority
        default: return nil
        }
        if marker != nil {
            guard let names = words.next() else { return nil }
            word = names
        }
        hosts = HostPatterns(word)
        rest = words.rest
    }

    /// Nil where there is no key, half a key, or garbage in its place.
    var key: SSHPublicKey? { SSHPublicKey(line: rest).flatMap { $0.isWhole ? $0 : nil } }
}
