internal import Glibc

/// The file `<queue>.remote`: says that a queue has been used from other hosts, for the case that its header can't.
struct RemoteMark {
    let path: String
    private let queuePath: String

    init(of queuePath: String) {
        path = queuePath + ".remote"
        self.queuePath = queuePath
    }

    private static let text = Array(
        "This queue has been used from other hosts. Where its file is damaged, nobody is let in until their leases are over.\n"
            .utf8)

    /// Costs a look at the folder: to be asked only where the header is lost.
    var isThere: Bool {
        var info = stat()
        return lstat(path, &info) == 0
    }

    /// Makes it where it is missing. An empty one does: the text is for people.
    /// - Throws: ``SemaphoreError`` when it can't be made.
    func make() throws(SemaphoreError) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        let descriptor = open(path, flags, 0o600)
        guard descriptor < 0 else {
            QueueFile.shareLikeFolder(descriptor, path)
            _ = write(descriptor, Self.text, Self.text.count)
            close(descriptor)
            return
        }
        let error = errno
        guard error != EEXIST else { return }
        throw SemaphoreError(
            .io,
            "\(queuePath): can't make \(path), without which nobody from another host may take a turn: "
                + "\(String(cString: strerror(error))); let somebody make it who can write in that folder",
            systemError: error)
    }
}
