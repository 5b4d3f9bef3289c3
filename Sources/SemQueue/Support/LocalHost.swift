internal import Glibc

/// Who and where this process is, as told to others.
package enum LocalHost {
    package static let name: String = {
        var buffer = [CChar](repeating: 0, count: 256)
        return gethostname(&buffer, buffer.count - 1) == 0 ? string(buffer) : "?"
    }()

    /// From /etc/passwd, and for those who don't stand there (a directory's users) from the environment.
    ///
    /// Not by getpwuid_r(3): in a static binary that loads whatever modules /etc/nsswitch.conf names, and
    /// dies of it where they don't fit (glibc 2.36 with “passwd: files systemd”).
    package static let user: String = {
        let uid = geteuid()
        let told = ["LOGNAME", "USER"].compactMap(Environment.value).first { !$0.isEmpty }
        var isTaken = false
        guard let file = fopen("/etc/passwd", "re") else { return told ?? "uid \(uid)" }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(line) }
        while getline(&line, &room, file) > 0, let line {
            let fields = String(cString: line).split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count > 2 else { continue }
            if UInt32(fields[2]) == uid { return String(fields[0]) }
            if fields[0] == told ?? "" { isTaken = true }
        }
        // A name that is another's was inherited, by setpriv(1) for example.
        return isTaken ? "uid \(uid)" : told ?? "uid \(uid)"
    }()

    private static func string(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
