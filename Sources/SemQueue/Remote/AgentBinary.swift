internal import CSemQueue
internal import Glibc

/// The program that is put onto hosts that have no semq.
package struct AgentBinary: Sendable {
    /// Names the content.
    let id: String
    let path: String

    /// Nil where the file can't be read or bears no name of its content.
    private init?(_ path: String) {
        var text = [CChar](repeating: 0, count: 65)
        guard semq_build_id(path, &text, Int32(text.count)) else { return nil }
        id = text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        self.path = path
    }

    /// This program, which is `semq`.
    package static let own = AgentBinary("/proc/self/exe")

    /// The `semq` in PATH, for a program that is another.
    static let installed: AgentBinary? = (Environment.value("PATH") ?? "").split(separator: ":")
        .map { "\($0)/semq" }.first { (path: String) in access(path, X_OK) == 0 }.flatMap { AgentBinary($0) }

    /// Below the home folder there.
    package var remotePath: String { ".cache/semq/\(id)/semq" }

    /// This machine, as uname(1) names it.
    static let machine: String = {
        var names = utsname()
        uname(&names)
        func text(_ field: some Any) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(text(names.sysname)) \(text(names.machine))"
    }()

    /// The program for a machine: this one, or one from `share/semq/linux-aarch64` and the like beside it.
    func path(for machine: String) -> String? {
        if machine == Self.machine { return path }
        guard let own = realpath(path, nil) else { return nil }
        defer { free(own) }
        let prefix = QueueFile.parent(of: QueueFile.parent(of: String(cString: own)))
        let name = machine.lowercased().replacing(" ", with: "-")
        guard name.utf8.allSatisfy({ $0 != UInt8(ascii: "/") }) else { return nil }
        let other = "\(prefix)/share/semq/\(name)/semq"
        return access(other, R_OK) == 0 ? other : nil
    }
}
