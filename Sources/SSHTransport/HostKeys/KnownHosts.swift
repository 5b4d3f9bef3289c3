/// What the known_hosts files say (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
///
/// libssh2 has a matcher, too, but that one ignores `@revoked`, wildcards and letter case, and ends at the
/// first line of garbage.
package struct KnownHosts: Sendable {
    private let files: [(path: String, text: [UInt8])]

    /// Reads the files. One that does not exist is empty.
    /// - Throws: where one can't be read: what it would say, even `@revoked`, is unknown then.
    package init(files: [String]) throws(FileProblem) {
        var texts: [(path: String, text: [UInt8])] = []
        for path in files { texts.append((path, try TextFile.read(path) ?? [])) }
        self.files = texts
    }

    init(path: String, text: [UInt8]) { files = [(path, text)] }

    /// All that is known of one host.
    /// - Parameter port: nil where `host` is a HostKeyAlias, which stands in the file as it is.
    package func keys(host: String, port: Int?) -> KnownHostKeys {
        let name = Self.name(host: host, port: port)
        let own = entries(for: name)
        // As in OpenSSH, a host's keys at port 22 serve for its other ports, until those have keys of their own.
        let plain = Self.name(host: host, port: nil)
        return KnownHostKeys(name: name, own: own, ofPlainName: plain == name ? [] : entries(for: plain))
    }

    /// Whatever a line says of this name, file by file.
    func entries(for name: String) -> [KnownHostKey] {
        let name = Array(name.utf8)
        var entries: [KnownHostKey] = []
        for (path, text) in files {
            let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            for (index, var line) in lines.enumerated() {
                if line.last == UInt8(ascii: "\r") { line.removeLast() }
                guard let parsed = KnownHostsLine(line), parsed.hosts.match(name), let key = parsed.key else {
                    continue
                }
                entries.append(
                    KnownHostKey(
                        key: key, file: path, line: index + 1, marker: parsed.marker, isWild: parsed.hosts.isWild))
            }
        }
        return entries
    }

    /// How a host is called in these files: `host`, or `[host]:port` where that isn't 22; in small letters.
    package static func name(host: String, port: Int?) -> String {
        let host = String(decoding: host.utf8.map(\.lowercased), as: UTF8.self)
        guard let port, port != 22 else { return host }
        return "[\(host)]:\(port)"
    }
}
