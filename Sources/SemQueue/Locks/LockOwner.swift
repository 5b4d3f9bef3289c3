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

    package static func ofMutex(_ path: String) -> LockOwner? {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        for process in entries("/proc") {
            guard let pid = Int32(process) else { continue }
            if let owner = LockOwner(pid, of: LockSpace.mutex.start, in: info.st_ino) { return owner }
        }
        return nil
    }

    /// The process of that number, if it is one that we may look at and holds the slot of a queue file; numbers
    /// told by another host or pid namespace are of other processes here.
    init?(_ pid: Int32, ofSlot slot: Int, in file: ino_t) {
        self.init(pid, of: LockSpace.hold(slot).start, in: file)
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
        name = Self.read("/proc/\(pid)/comm").split(separator: "\n").first.map(String.init) ?? "?"
        let status = Self.read("/proc/\(pid)/stat")
        let afterName = status.lastIndex(of: ")").map { status[$0...].dropFirst(2) } ?? ""
        isStopped = afterName.first == "T" || afterName.first == "t"
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
