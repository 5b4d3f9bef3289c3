internal import Glibc

extension Nesting {
    /// What this process was handed down.
    package static func inherited() -> Nesting {
        let own = Environment.value(variable)
        if own == nil, isElevated, let (held, secrets) = ofAncestors() {
            return Nesting(environment: held, secrets: secrets)
        }
        return Nesting(environment: own, secrets: Environment.value(secretVariable))
    }

    /// By sudo or its like, which drop what they don't know.
    private static var isElevated: Bool {
        geteuid() == 0 && ["SUDO_UID", "DOAS_USER", "PKEXEC_UID"].contains { Environment.value($0) != nil }
    }

    /// The nearest ancestor's that has any. /proc shows what each was started with, to those who may look.
    private static func ofAncestors() -> (held: String, secrets: String?)? {
        var pid = getppid()
        for _ in 0..<32 where pid > 1 {
            let words = environment(of: pid)
            func value(_ name: String) -> String? {
                let start = Array("\(name)=".utf8)
                return words.first { $0.starts(with: start) }.map {
                    String(decoding: $0.dropFirst(start.count), as: UTF8.self)
                }
            }
            if let held = value(variable) { return (held, value(secretVariable)) }
            guard let parent = ProcessTree.parent(of: pid) else { return nil }
            pid = parent
        }
        return nil
    }

    private static func environment(of pid: Int32) -> [ArraySlice<UInt8>] {
        let descriptor = open("/proc/\(pid)/environ", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count < 1 << 21, case let count = read(descriptor, &buffer, buffer.count), count > 0 {
            bytes += buffer[..<count]
        }
        return bytes.split(separator: 0)
    }
}
