internal import Glibc

/// The processes that descend from one, as /proc tells.
package enum ProcessTree {
    /// All living descendants of `root`, parents before children. Zombies are left out, and so are those that
    /// carry our links to other hosts, with all below them.
    package static func descendants(of root: Int32) -> [Int32] {
        let carriers = Carriers.all
        var children: [Int32: [Int32]] = [:]
        for (pid, parent) in all() { children[parent, default: []].append(pid) }
        var found: [Int32] = []
        var open = children[root] ?? []
        while let pid = open.popLast() {
            if carriers.contains(pid) { continue }
            found.append(pid)
            open += children[pid] ?? []
        }
        return found
    }

    private static func all() -> [(pid: Int32, parent: Int32)] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var processes: [(Int32, Int32)] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let pid = Int32(name), let parent = livingParent(of: pid) { processes.append((pid, parent)) }
        }
        return processes
    }

    /// Whether a shell is there that could continue a process group when it is stopped; otherwise the group is
    /// orphaned, as POSIX calls it. This process doesn't count.
    package static func isContinuable(_ group: Int32) -> Bool {
        all().contains { pid, parent in
            getpgid(pid) == group && parent != getpid() && getpgid(parent) != group && getsid(parent) == getsid(pid)
        }
    }

    /// Nil where /proc doesn't tell.
    package static func isStopped(_ pid: Int32) -> Bool? { fields(of: pid).map { $0[0] == [UInt8(ascii: "T")] } }

    /// A zombie isn't.
    package static func isAlive(_ pid: Int32) -> Bool { livingParent(of: pid) != nil }

    /// Nil for a zombie or one that is gone.
    static func parent(of pid: Int32) -> Int32? { livingParent(of: pid) }

    /// Nil for a zombie or one that is gone.
    private static func livingParent(of pid: Int32) -> Int32? {
        guard let fields = fields(of: pid), fields[0] != [UInt8(ascii: "Z")], fields[0] != [UInt8(ascii: "X")] else {
            return nil
        }
        return Int32(String(decoding: fields[1], as: UTF8.self))
    }

    /// Fields 3 and on of /proc/PID/stat: the state, the parent.
    private static func fields(of pid: Int32) -> [ArraySlice<UInt8>]? {
        let descriptor = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = read(descriptor, &buffer, buffer.count)
        // The name, in parentheses, may hold anything: the fields start behind the last parenthesis.
        guard count > 0, let end = buffer[..<count].lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = buffer[(end + 1)..<count].split(separator: UInt8(ascii: " "))
        return fields.count > 1 ? fields : nil
    }

    /// The descendants of this process; where /proc is not mounted, the one that is known without it.
    private static func own(knowing child: Int32?) -> [Int32] {
        let found = descendants(of: getpid())
        return found.isEmpty && livingParent(of: getpid()) == nil ? [child].compactMap { $0 } : found
    }

    /// Sends a signal to every descendant of this process.
    package static func signal(_ signal: Int32, knowing child: Int32?) {
        for pid in own(knowing: child) { kill(pid, signal) }
    }

    /// Kills every descendant of this process: stops them until no new one appears, so that none can
    /// fork away, and then kills. Children are left to be reaped.
    package static func killAll(knowing child: Int32?) {
        var stopped: Set<Int32> = []
        for _ in 0..<1000 {
            let new = own(knowing: child).filter { stopped.insert($0).inserted }
            if new.isEmpty { break }
            for pid in new { kill(pid, SIGSTOP) }
        }
        for pid in stopped { kill(pid, SIGKILL) }
    }
}
