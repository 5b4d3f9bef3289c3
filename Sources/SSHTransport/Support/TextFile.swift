internal import Glibc

/// Small files that people and other programs write.
enum TextFile {
    /// More than any real one; keeps `/dev/zero` out.
    static let limit = 64 << 20

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// - Returns: all bytes; nil if there is no such file.
    static func read(_ path: String) throws(FileProblem) -> [UInt8]? {
        // A FIFO would hold up whoever opens it.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw FileProblem("read", path, errno)
        }
        defer { close(descriptor) }
        return try read(descriptor, path)
    }

    /// From the beginning to the end.
    static func read(_ descriptor: Int32, _ path: String) throws(FileProblem) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= limit {
            let count = pread(descriptor, &buffer, buffer.count, off_t(bytes.count))
            if count == 0 { return bytes }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw FileProblem("read", path, errno) }
            bytes += buffer[..<count]
        }
        throw FileProblem("\(path): is larger than \(limit >> 20) MiB, which can't be right")
    }
}
