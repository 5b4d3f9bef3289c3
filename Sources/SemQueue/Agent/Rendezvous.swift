internal import CSemQueue
internal import Glibc

/// Where an agent whose connection was cut is found again: an abstract Unix socket, which lives as long as
/// the agent and leaves nothing in any folder.
struct Rendezvous {
    /// The agent's name, by which its client asks for it.
    let name: String
    let descriptor: Int32

    /// - Returns: nil where the system has no room for it.
    init?(name: String) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
        guard descriptor >= 0 else { return nil }
        var (address, length) = Self.address(name)
        let isListening =
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
            } == 0 && listen(descriptor, 8) == 0
        guard isListening else {
            Glibc.close(descriptor)
            return nil
        }
        self.name = name
        self.descriptor = descriptor
    }

    func close() { Glibc.close(descriptor) }

    /// The next who comes, if it is of the same user.
    func accept() -> Int32? {
        let peer = semq_accept(descriptor)
        return peer >= 0 ? peer : nil
    }

    /// A stream to the agent of that name, or nil if there is none on this host.
    /// - Throws: ``SemaphoreError`` where it has no time for more visitors now.
    static func connect(to name: String) throws(SemaphoreError) -> Int32? {
        guard name.utf8.count <= 64 else { return nil }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
        guard descriptor >= 0 else { return nil }
        var (address, length) = address(name)
        let error = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, length) }
        }
        if error == 0 { return descriptor }
        let isBusy = errno == EAGAIN
        Glibc.close(descriptor)
        if isBusy { throw SemaphoreError(.unreachable, "the agent that holds the place doesn't answer") }
        return nil
    }

    /// Abstract names begin with a zero byte (unix(7)).
    private static func address(_ name: String) -> (sockaddr_un, socklen_t) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = [0] + Array("semq-\(name)".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return (address, socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + bytes.count))
    }
}
