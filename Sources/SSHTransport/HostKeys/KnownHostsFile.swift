internal import Glibc

/// A known_hosts file that keys are added to.
package struct KnownHostsFile: Sendable {
    package enum Addition: Hashable, Sendable {
        case added
        /// Another program has added the same key in between.
        case alreadyThere
        /// Another program has added something else in between; nothing was written.
        case refused(HostKeyVerdict)
    }

    private let path: String
    private let patience: Duration

    /// - Parameter patience: how long to wait for another program that writes to the file, too.
    package init(_ path: String, patience: Duration = .seconds(5)) {
        self.path = path
        self.patience = patience
    }

    /// Adds a host's key, unless anything is known of that host here by now.
    ///
    /// Of two programs that connect for the first time, the second finds the line of the first. OpenSSH does
    /// not lock; but a line goes in by one write, so both lines stay whole.
    /// - Parameters:
    ///   - port: nil where `host` is a HostKeyAlias.
    ///   - isHashed: the host's name is not to be read in the file.
    /// - Throws: where the line can't be written. The connection is as good without it.
    package func add(_ key: SSHPublicKey, host: String, port: Int?, isHashed: Bool) throws(FileProblem)
        -> Addition
    {
        let descriptor = try openLocked()
        defer { close(descriptor) }
        let text = try TextFile.read(descriptor, path)
        let known = KnownHosts(path: path, text: text).keys(host: host, port: port)
        switch known.verdict(on: key) {
        case .unknown: break
        case .known: return .alreadyThere
        case let verdict: return .refused(verdict)
        }
        let name = isHashed ? HostPatterns.hashed(Array(known.name.utf8)) : known.name
        // What comes before may have lost its line's end.
        let isWhole = text.isEmpty || text.last == UInt8(ascii: "\n")
        try append((isWhole ? "" : "\n") + "\(name) \(key.line)\n", to: descriptor, size: text.count)
        return .added
    }

    /// Opens the file, or makes it, and its folder as `ssh` would.
    private func openLocked() throws(FileProblem) -> Int32 {
        while true {
            var descriptor = openOrMake()
            if descriptor < 0, errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
                mkdir(String(path[..<slash]), 0o700)
                descriptor = openOrMake()
            }
            guard descriptor >= 0 else { throw FileProblem("write a host's key to", path, errno) }
            do {
                try lock(descriptor)
            } catch {
                close(descriptor)
                throw error
            }
            // `ssh-keygen -R` puts a new file in the place of the old one.
            var (there, here) = (stat(), stat())
            if stat(path, &there) == 0, fstat(descriptor, &here) == 0, there.st_ino == here.st_ino,
                there.st_dev == here.st_dev
            {
                return descriptor
            }
            close(descriptor)
        }
    }

    private func openOrMake() -> Int32 { open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600) }

    /// Held for as long as it takes to write a line; who holds it for seconds stands still.
    private func lock(_ descriptor: Int32) throws(FileProblem) {
        let deadline = Deadline.after(patience)
        // Where a file system has no locks, a line may come in twice, which does no harm.
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR {
            if deadline.hasPassed {
                throw FileProblem(
                    "\(path): another program keeps it locked; `fuser -v \(path.shellQuoted)` tells which")
            }
            poll(nil, 0, 10)
        }
    }

    private func append(_ line: String, to descriptor: Int32, size: Int) throws(FileProblem) {
        let bytes = Array(line.utf8)
        let count = write(descriptor, bytes, bytes.count)
        guard count != bytes.count else { return }
        let number = count < 0 ? errno : ENOSPC
        // Half a line would spoil the one that is written next.
        var info = stat()
        if count > 0, fstat(descriptor, &info) == 0, info.st_size == off_t(size + count) {
            ftruncate(descriptor, off_t(size))
        }
        throw FileProblem("write a host's key to", path, number)
    }
}
