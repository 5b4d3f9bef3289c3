internal import CSemQueue
internal import Glibc

/// The program that is put onto hosts that have no semq: this one.
package struct AgentBinary: Sendable {
    /// Names the content.
    let id: String
    let path: String

    /// Nil where this process is not `semq`, or can't read its own file.
    package static let own: AgentBinary? = {
        let path = "/proc/self/exe"
        guard access(path, R_OK) == 0 else { return nil }
        var id = [CChar](repeating: 0, count: 65)
        guard semq_build_id(&id, Int32(id.count)) else { return nil }
        return AgentBinary(id: id.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }, path: path)
    }()

    /// Below the home folder there.
    package var remotePath: String { ".cache/semq/\(id)/semq" }
}
