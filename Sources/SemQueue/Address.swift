/// Where a semaphore is: `path`, `host:path`, `user@host:path` or `ssh://user@host:port/path`.
///
/// As in scp and rsync, a colon before the first slash makes it remote; `./a:b` is a local file. A relative
/// remote path starts at the home folder there, and so do `host:~/path` and `ssh://host/~/path`.
package enum Address: Hashable, Sendable {
    case local(path: String)
    case remote(Host, path: String)

    /// A host as it was named, which may be an alias of the SSH configuration's.
    package struct Host: Hashable, Sendable {
        package var name: String
        package var user: String?
        package var port: Int?

        package init(name: String, user: String? = nil, port: Int? = nil) {
            self.name = name
            self.user = user
            self.port = port
        }
    }

    /// - Throws: ``SemaphoreError`` where nothing is named.
    package init(_ text: String) throws(SemaphoreError) {
        guard !text.isEmpty else { throw SemaphoreError(.usage, "a semaphore's name is empty; name a file") }
        guard !text.utf8.contains(0) else { throw SemaphoreError(.usage, "a semaphore's name has a NUL in it") }
        let scheme = "ssh://"
        let parts: (authority: Substring, path: Substring, mayHavePort: Bool)
        if text.hasPrefix(scheme) {
            let rest = text.dropFirst(scheme.count)
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            let path = rest[slash...]
            parts = (rest[..<slash], path.hasPrefix("/~/") ? path.dropFirst(3) : path, true)
        } else if let colon = Self.separator(in: text) {
            let path = text[text.index(after: colon)...]
            parts = (text[..<colon], path.hasPrefix("~/") ? path.dropFirst(2) : path, false)
        } else {
            self = .local(path: text)
            return
        }
        let host: Host
        do throws(Host.Flaw) {
            if let flaw = Host.bareIPv6(text) { throw flaw }
            host = try Host(parts.authority, mayHavePort: parts.mayHavePort)
            guard !parts.path.isEmpty, parts.path != "/" else { throw .incomplete }
        } catch {
            throw SemaphoreError(.usage, "\(text): \(error); a local file is ./\(text)")
        }
        guard text.utf8.count <= Self.longest else {
            throw SemaphoreError(.usage, "\(text.prefix(80))…: such a long name is no file's")
        }
        self = .remote(host, path: String(parts.path))
    }

    /// PATH_MAX, and a host.
    private static let longest = 4096 + 256

    /// The colon that makes an address remote: before any slash, and behind the brackets of an IPv6 address.
    private static func separator(in text: String) -> String.Index? {
        var isInBrackets = false
        for index in text.indices {
            switch text[index] {
            case "[": isInBrackets = true
            case "]": isInBrackets = false
            case "/": return nil
            case ":" where !isInBrackets: return index
            default: break
            }
        }
        return nil
    }
}

extension Address.Host {
    /// - Parameter mayHavePort: a colon and a number may stand at the end.
    fileprivate init(_ authority: Substring, mayHavePort: Bool) throws(Flaw) {
        var rest = authority
        var user: String?
        if let at = rest.lastIndex(of: "@") {
            user = String(rest[..<at])
            rest = rest[rest.index(after: at)...]
            guard user != "" else { throw .incomplete }
        }
        var port: Int?
        if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
            let tail = rest[rest.index(after: end)...]
            rest = rest[rest.index(after: rest.startIndex)..<end]
            guard tail.isEmpty || (mayHavePort && tail.hasPrefix(":")) else { throw .incomplete }
            if !tail.isEmpty { port = try Self.port(tail.dropFirst()) }
        } else if mayHavePort, let colon = rest.lastIndex(of: ":") {
            port = try Self.port(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        // What begins with a hyphen would be an option of ssh's.
        guard !rest.isEmpty, !rest.hasPrefix("-"), user?.hasPrefix("-") != true else { throw .incomplete }
        guard !authority.contains(where: { $0.isWhitespace || $0.unicodeScalars.contains(where: \.isControl) }) else {
            throw .blank
        }
        self.init(name: String(rest), user: user, port: port)
    }

    private static func port(_ text: Substring) throws(Flaw) -> Int {
        guard let port = Int(text), (1...65535).contains(port) else { throw .port(String(text)) }
        return port
    }

    /// An IPv6 address without brackets: its colons would be taken for the one before the path, or the port.
    fileprivate static func bareIPv6(_ text: String) -> Flaw? {
        let named = text.hasPrefix("ssh://") ? text.dropFirst(6) : text[...]
        let authority = named.prefix { $0 != "/" }
        let rest = authority[(authority.lastIndex(of: "@").map(authority.index(after:)) ?? authority.startIndex)...]
        let pieces = rest.split(separator: ":", omittingEmptySubsequences: false)
        var groups = pieces.prefix { $0.isEmpty || $0.count <= 4 && $0.allSatisfy(\.isHexDigit) }
        // The path is behind it, or is empty; a colon at the end belongs to one only where another is beside it.
        if groups.count == pieces.count, !text.hasPrefix("ssh://") { groups = groups.dropLast() }
        let numbers = groups.count { !$0.isEmpty }
        let isShortened = groups.joined(separator: ":").contains("::")
        guard isShortened ? numbers >= 2 || groups.first == "" && numbers == 1 : numbers == 8 else { return nil }
        return .bare(groups.joined(separator: ":"))
    }

    fileprivate enum Flaw: Error, CustomStringConvertible {
        case incomplete
        case bare(String)
        case port(String)
        case blank

        var description: String {
            switch self {
            case .incomplete: "wants a host and a path, as in user@host:path or ssh://user@host:22/path"
            case .bare(let address): "an IPv6 address stands in brackets: [\(address)]"
            case .port(let text): "its port is a number from 1 to 65535, not “\(text)”"
            case .blank: "its user and host have no blanks in them"
            }
        }
    }
}

extension Address.Host: CustomStringConvertible {
    /// As it was named.
    package var description: String {
        (user.map { "\($0)@" } ?? "") + (name.contains(":") ? "[\(name)]" : name) + (port.map { ":\($0)" } ?? "")
    }
}
