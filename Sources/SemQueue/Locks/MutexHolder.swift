internal import Glibc

/// Finds who holds a queue's mutex, which the kernel doesn't say of an open-file-description lock.
/// /proc/PID/fdinfo does, for the processes that we may look at.
package struct MutexHolder: CustomStringConvertible {
    package var pid: Int32
    package var name: String
    package var isStopped: Bool

    package var description: String { "process \(pid) (\(name)\(isStopped ? ", stopped" : ""))" }

    /// Who holds a queue's mutex, in words.
    static func named(_ path: String) -> String {
        find(path).map { "\($0)" } ?? "a process that can't be seen from here"
    }

    package static func find(_ path: String) -> MutexHolder? {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        let lock = ":\(info.st_ino) \(LockSpace.mutex.start) \(LockSpace.mutex.start)"
        for process in entries("/proc") {
            guard let pid = Int32(process) else { continue }
            let descriptors = "/proc/\(pid)/fdinfo"
            let holds = entries(descriptors).contains { entry in
                // A waiter's line has an arrow: “lock: 1: -> OFDLCK …”.
                read("\(descriptors)/\(entry)").split(separator: "\n").contains {
                    $0.hasPrefix("lock:") && $0.contains("OFDLCK") && !$0.contains("->") && $0.hasSuffix(lock)
                }
            }
            guard holds else { continue }
            let status = read("/proc/\(pid)/stat")
            let afterName = status.lastIndex(of: ")").map { status[$0...].dropFirst(2) } ?? ""
            let name = read("/proc/\(pid)/comm").split(separator: "\n").first.map(String.init) ?? "?"
            return MutexHolder(pid: pid, name: name, isStopped: afterName.first == "T" || afterName.first == "t")
        }
        return nil
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
