internal import Glibc

/// The contents of a private key file.
enum KeyFile {
    /// - Returns: nil with errno where it can't be read, is no regular file or is too large for a key.
    static func read(_ path: String) -> SSHSecret? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var about = stat()
        guard fstat(descriptor, &about) == 0 else { return nil }
        guard about.st_mode & S_IFMT == S_IFREG, about.st_size <= 64 << 10 else {
            errno = EINVAL
            return nil
        }
        return SSHSecret(capacity: Int(about.st_size)) { room in Glibc.read(descriptor, room.baseAddress, room.count) }
    }
}
