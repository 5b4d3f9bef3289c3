/// Where a semaphore is: `path`, `host:path`, `user@host:path` or `ssh://user@host:port/path`.
///
/// As in scp and rsync, a colon before the first slash makes it remote; `./a:b` is a local file.
package enum Address: Equatable {
    case local(path: String)
    /// `host` as given, with user and port.
    case remote(host: String, path: String)

    /// - Throws: ``SemaphoreError`` where nothing is named.
    package init(_ text: String) throws(SemaphoreError) {
        guard !text.isEmpty else { throw SemaphoreError(.usage, "a semaphore's name is empty; name a file") }
        guard !text.utf8.contains(0) else { throw SemaphoreError(.usage, "a semaphore's name has a NUL in it") }
        let scheme = "ssh://"
        if text.hasPrefix(scheme) {
            let rest = text.dropFirst(scheme.count)
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            self = .remote(host: String(rest[..<slash]), path: String(rest[slash...]))
        } else if let colon = text.firstIndex(of: ":"), !text[..<colon].contains("/") {
            self = .remote(host: String(text[..<colon]), path: String(text[text.index(after: colon)...]))
        } else {
            self = .local(path: text)
            return
        }
        if case .remote(let host, let path) = self, host.isEmpty || path.isEmpty || path == "/" {
            throw SemaphoreError(.usage, "\(text): wants a host and a path, as in host:path; a local file is ./\(text)")
        }
    }
}
