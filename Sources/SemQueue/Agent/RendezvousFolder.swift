internal import CSemQueue
internal import Glibc

/// A folder for the sockets of one user's agents. Whatever path led to it, it is this user's and closed to all others;
/// everything is done through its descriptor, so that nobody puts another in its place.
final class RendezvousFolder {
    private let path: String
    private let descriptor: Int32

    /// What the names of sockets begin with that nobody listens at yet.
    static let unready = "."

    /// - Parameter making: make it if it is missing.
    /// - Returns: nil where there is none, none can be made, or it isn't to be trusted.
    init?(_ path: String, making: Bool) {
        if making { mkdir(path, 0o700) }
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        self.path = path
        guard descriptor >= 0 else { return nil }
        var info = stat()
        // An access list shows as the group's permissions (acl(5)).
        guard fstat(descriptor, &info) == 0, info.st_uid == geteuid(), info.st_mode & 0o077 == 0 else { return nil }
        // systemd-tmpfiles leaves what is locked alone, however old it is.
        if making { flock(descriptor, LOCK_SH | LOCK_NB) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The path by which a socket is bound and found: short, as a socket's must be, and through the descriptor.
    func path(of name: String) -> [UInt8] { Array("/proc/self/fd/\(descriptor)/\(name)".utf8) }

    /// Somebody listens there from now on.
    func makeReady(_ name: String) -> Bool {
        renameat(descriptor, Self.unready + name, descriptor, name) == 0
    }

    /// Of a socket where clients look for it.
    struct Mark: Equatable {
        let folder: ino_t
        let socket: ino_t
    }

    /// Nil where there is none, or another folder stands at the path by now.
    func mark(of name: String) -> Mark? {
        var (info, own, found) = (stat(), stat(), stat())
        guard fstatat(descriptor, name, &info, AT_SYMLINK_NOFOLLOW) == 0, fstat(descriptor, &own) == 0,
            lstat(path, &found) == 0, (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
        else { return nil }
        return Mark(folder: own.st_ino, socket: info.st_ino)
    }

    /// - Parameter andItself: the folder has no other socket.
    func remove(_ name: String, andItself: Bool) {
        unlinkat(descriptor, name, 0)
        if andItself { rmdir(path) }
    }

    /// Removes the sockets of agents that were killed.
    func tidy() {
        for name in names where isDead(name) { unlinkat(descriptor, name, 0) }
    }

    private var names: [String] {
        // A descriptor of its own, for closedir(3) closes it; opened, not duplicated: duplicates share their place.
        let own = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0, let folder = fdopendir(own) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if entry.pointee.d_type == UInt8(DT_SOCK) { names.append(name) }
        }
        return names
    }

    /// Whether nobody will ever listen there (again). One that isn't ready is between two calls of its agent, or was left
    /// there: an hour tells.
    private func isDead(_ name: String) -> Bool {
        if name.hasPrefix(Self.unready) {
            var (info, now) = (stat(), timespec())
            clock_gettime(CLOCK_REALTIME, &now)
            guard fstatat(descriptor, name, &info, AT_SYMLINK_NOFOLLOW) == 0, now.tv_sec - info.st_mtim.tv_sec > 3600
            else { return false }
        }
        let path = path(of: name)
        guard path.count < Rendezvous.longestPath, let probe = Rendezvous.socket(SOCK_DGRAM) else { return false }
        defer { close(probe) }
        // A stream socket that is bound refuses a datagram one by its type, and its agent isn't disturbed.
        return Rendezvous.address(path) { connect(probe, $0, $1) } != 0 && errno == ECONNREFUSED
    }
}
