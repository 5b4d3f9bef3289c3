internal import Glibc

/// Who runs this program, and what ssh's configuration may say of them.
package struct LocalAccount: Sendable {
    package var name: String
    package var uid: UInt32
    package var home: String
    package var hostName: String
    /// Other users' homes, by name.
    var homes: [String: String] = [:]
    var environment: @Sendable (_ name: String) -> String?

    /// From /etc/passwd, as `ssh` has it, whatever `HOME` says; those who don't stand there (a directory's
    /// users) from the environment.
    ///
    /// Not by getpwuid(3), which in a static binary loads what /etc/nsswitch.conf names, and may die of it.
    package static var current: LocalAccount {
        let text = (try? TextFile.read("/etc/passwd")) ?? nil
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        return LocalAccount(
            passwd: String(decoding: text ?? [], as: UTF8.self), uid: getuid(),
            hostName: String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        ) { getenv($0).map { String(cString: $0) } }
    }

    init(passwd: String, uid: UInt32, hostName: String, environment: @escaping @Sendable (String) -> String?) {
        self.uid = uid
        self.hostName = hostName
        self.environment = environment
        var own: (name: String, home: String)?
        for line in passwd.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 7 else { continue }
            homes[String(fields[0])] = String(fields[5])
            if own == nil, UInt32(fields[2]) == uid { own = (String(fields[0]), String(fields[5])) }
        }
        name = own?.name ?? environment("LOGNAME") ?? environment("USER") ?? "\(uid)"
        home = own?.home ?? environment("HOME") ?? "/"
    }
}
