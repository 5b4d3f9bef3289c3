internal import Glibc

/// A process that holds one of a queue's locks, which the kernel doesn't say of an open-file-description lock.
/// /proc/PID/fdinfo does, for the processes that we may look at.
package struct LockOwner: CustomStringConvertible {
    package var pid: Int32
    package var name: String
    package var isStopped: Bool

    package var description: String { "process \(pid) (\(name)\(isStopped ? ", stopped" : ""))" }

    /// In words.
    static func named(_ owner: LockOwner?) -> String {
        owner.map { "\($0)" } ?? "a process that can't be seen from here"
    }

    package static func ofMutex(_ path: String) -> LockOwner? { of(LockSpace.mutex, path) }

    /// The first to be found. Looks at all processes.
    static func of(_ span: LockSpace.Span, _ path: String) -> LockOwner? {
        var info = stat()
        return stat(path, &info) == 0 ? owners(of: span, in: info.st_ino).first { _ in true } : nil
    }

    /// Looks at all processes. A lock is one of several processes where they have inherited it.
    static func all(_ span: LockSpace.Span, _ path: String) -> [LockOwner] {
        var info = stat()
        return stat(path, &info) == 0 ? Array(owners(of: span, in: info.st_ino)) : []
    }

    private static func owners(of span: LockSpace.Span, in file: ino_t) -> some Sequence<LockOwner> {
        entries("/proc").lazy.compactMap { Int32($0).flatMap { LockOwner($0, of: span.start, in: file) } }
    }

    /// Whether a member of this host is dead, with its guardian, and what it has started has its lock alone. Looks at
    /// all processes where it is dead.
    static func isOrphaned(_ party: Party, locking span: LockSpace.Span, in file: ino_t) -> Bool {
        guard party.host == LocalHost.name, party.pid > 0, !ProcessTree.isAlive(party.pid) else { return false }
        let left = Array(owners(of: span, in: file))
        // Or it isn't dead: its number is that of another pid namespace, on a host of the same name.
        return !left.isEmpty && !left.contains { $0.name.hasPrefix("semq") || $0.ownNumber == party.pid }
    }

    /// As it knows itself, in its own pid namespace; nil where nobody tells.
    private var ownNumber: Int32? {
        let line = Self.read("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("NSpid:") }
        return line?.split { $0 == "\t" || $0 == " " }.last.flatMap { Int32($0) }
    }

    /// Whether the process that a record names is stopped. The number may be of another process here, where the
    /// record was written in another pid namespace or on another host: the lock must be its own. Whose locks we may
    /// not see, because it is another user's, must at least be a `semq`. Cheap where nobody is stopped.
    ///
    /// One that is traced isn't meant: it stands still at each step.
    static func isStopped(_ pid: Int32, locking span: LockSpace.Span, in file: ino_t) -> Bool {
        guard ProcessTree.isStopped(pid) == true else { return false }
        if access("/proc/\(pid)/fdinfo", R_OK | X_OK) != 0, errno == EACCES { return name(of: pid) == "semq" }
        return LockOwner(pid, of: span.start, in: file) != nil
    }

    private init?(_ pid: Int32, of start: Int64, in file: ino_t) {
        let descriptors = "/proc/\(pid)/fdinfo"
        let lock = ":\(file) \(start) "
        let holds = Self.entries(descriptors).contains { entry in
            // A waiter's line has an arrow: “lock: 1: -> OFDLCK …”.
            Self.read("\(descriptors)/\(entry)").split(separator: "\n").contains {
                $0.hasPrefix("lock:") && $0.contains("OFDLCK") && !$0.contains("->") && $0.contains(lock)
            }
        }
        guard holds else { return nil }
        self.pid = pid
        name = Self.name(of: pid) ?? "?"
        let status = Self.read("/proc/\(pid)/stat")
        let afterName = status.lastIndex(of: ")").map { status[$0...].dropFirst(2) } ?? ""
        isStopped = afterName.first == "T" || afterName.first == "t"
    }

    private static func name(of pid: Int32) -> String? {
        read("/proc/\(pid)/comm").split(separator: "\n").first.map(String.init)
    }

    private static func entries(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names
    }

    private static func read(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
