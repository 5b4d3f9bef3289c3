internal import CSemQueue
internal import Glibc

/// Where an agent whose connection was cut is found again: a Unix socket that lives as long as the agent, in a folder
/// that nobody but its user can enter. Where no such folder can be had it is an abstract one, whose name anybody may
/// read, take when the agent is dead, and flood.
struct Rendezvous {
    /// By which the client asks for the agent.
    let name: RendezvousName
    private(set) var descriptor: Int32
    private var folder: RendezvousFolder?
    /// What stands under the name.
    private var mark: RendezvousFolder.Mark?

    /// As many may knock at once as come within the fifth of a second in which the agent may not look.
    private static let backlog: Int32 = 64

    /// Nil where the system has no room for it.
    init?() {
        for name in RendezvousName.random() {
            if let made = Self(name) {
                self = made
                return
            }
        }
        return nil
    }

    private init?(_ name: RendezvousName) {
        self.name = name
        guard let path = name.folder else {
            guard let descriptor = Self.listen(at: Self.abstract(name.socket)) else { return nil }
            self.descriptor = descriptor
            return
        }
        guard let folder = RendezvousFolder(path, making: true) else { return nil }
        folder.tidy()
        guard let descriptor = Self.listen(in: folder, as: name.socket) else { return nil }
        (self.folder, self.descriptor, mark) = (folder, descriptor, folder.mark(of: name.socket))
    }

    /// Makes socket and folder anew, by the same name, where somebody has taken them away: those who clean /tmp by age or
    /// altogether know nothing of agents. Two calls where all is in order.
    mutating func lookAfterName() {
        guard let path = name.folder, folder?.mark(of: name.socket) != mark || mark == nil else { return }
        guard let folder = RendezvousFolder(path, making: true),
            let descriptor = Self.listen(in: folder, as: name.socket)
        else { return }
        Glibc.close(self.descriptor)
        (self.folder, self.descriptor, mark) = (folder, descriptor, folder.mark(of: name.socket))
    }

    private static func listen(in folder: RendezvousFolder, as socket: String) -> Int32? {
        // Who tidies up must not take one that is there, and not bound yet, for one that was left.
        guard let descriptor = listen(at: folder.path(of: RendezvousFolder.unready + socket)) else { return nil }
        guard folder.makeReady(socket) else {
            Glibc.close(descriptor)
            return nil
        }
        return descriptor
    }

    private static func listen(at path: [UInt8]) -> Int32? {
        guard let descriptor = socket(SOCK_STREAM) else { return nil }
        if address(path, { bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, backlog) == 0 {
            return descriptor
        }
        Glibc.close(descriptor)
        return nil
    }

    func close() {
        folder?.remove(name.socket, andItself: name.own != nil)
        Glibc.close(descriptor)
    }

    /// The next who comes, if it is of the same user.
    func accept() -> Int32? {
        // Others may knock at an abstract socket. Each of them waits in the kernel's line before one of ours.
        for _ in 0..<Self.backlog {
            let visitor = semq_accept(descriptor)
            guard visitor >= 0 else { return nil }
            if semq_is_of_this_user(visitor) { return visitor }
            Glibc.close(visitor)
        }
        return nil
    }

    // MARK: for those who look for an agent

    enum Found {
        /// A stream to it.
        case agent(Int32)
        /// There is none of that name on this host.
        case nobody
        /// Another user listens under its name, which is free only when it is dead.
        case impostor
        /// It has no time for more visitors now.
        case busy
    }

    static func connect(to name: RendezvousName) -> Found {
        guard let path = name.folder else { return connect(at: abstract(name.socket)) }
        guard let folder = RendezvousFolder(path, making: false) else { return .nobody }
        return connect(at: folder.path(of: name.socket))
    }

    private static func connect(at path: [UInt8]) -> Found {
        guard let descriptor = socket(SOCK_STREAM) else { return .busy }
        let isConnected = address(path) { Glibc.connect(descriptor, $0, $1) } == 0
        let isBusy = !isConnected && errno == EAGAIN
        // Before a word is said: the first is the secret.
        if isConnected, semq_is_of_this_user(descriptor) { return .agent(descriptor) }
        Glibc.close(descriptor)
        return isConnected ? .impostor : isBusy ? .busy : .nobody
    }

    // MARK: sockets

    /// In bytes, the one that ends it counted.
    static let longestPath = 108

    static func socket(_ type: __socket_type) -> Int32? {
        let descriptor = Glibc.socket(AF_UNIX, Int32(type.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
        return descriptor >= 0 ? descriptor : nil
    }

    /// Abstract names begin with a zero byte (unix(7)).
    private static func abstract(_ name: String) -> [UInt8] { [0] + Array("semq-\(name)".utf8) }

    static func address(_ path: [UInt8], _ use: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        precondition(path.count < longestPath, "names of ours are short")
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + path.count)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { use($0, length) }
        }
    }
}
