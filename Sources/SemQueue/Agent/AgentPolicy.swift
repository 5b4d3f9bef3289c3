internal import Glibc

/// What an agent's clients may do: everything that its user may, or only take turns at the queues below one
/// folder, for a key that can do nothing else.
package struct AgentPolicy {
    /// Nil: no restriction. The folder's name from the root, by which it is opened for each request: one that was moved
    /// since is another's, and whoever comes by the name knows nothing of it.
    private let root: String?
    /// As it was given, for people.
    let folder: String
    private let mayMake: Bool

    var isRestricted: Bool { root != nil }

    package static let open = AgentPolicy(root: nil, folder: "", mayMake: true)

    private init(root: String?, folder: String, mayMake: Bool) {
        self.root = root
        self.folder = folder
        self.mayMake = mayMake
    }

    /// - Parameters:
    ///   - folder: below which the queues lie.
    ///   - mayMake: whether clients may make queues there.
    /// - Throws: ``SemaphoreError`` when it is no folder, or is not reached by its name from the root.
    package init(below folder: String, mayMake: Bool) throws(SemaphoreError) {
        let descriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SemaphoreError(
                .usage, "agent: --restrict \(folder): \(String(cString: strerror(errno))); wants a folder",
                systemError: errno)
        }
        let opened = Description(owning: descriptor)
        let root = QueueFile.fromRoot(folder)
        var named = stat()
        var given = stat()
        guard root.hasPrefix("/"), stat(root, &named) == 0, fstat(opened.descriptor, &given) == 0,
            QueueFile.Identity(named) == QueueFile.Identity(given)
        else {
            throw SemaphoreError(
                .usage, "agent: --restrict \(folder): \(root) doesn't lead there; wants the folder's name from the root"
            )
        }
        self.init(root: root, folder: folder, mayMake: mayMake)
    }

    /// What a restricted client may ask for. To change a queue or end somebody's turn is not among it.
    private static let harmless: Set<String> = [
        "about", "acquire", "doctor", "goodbye", "history", "identify", "look-for-probe", "place-probe", "resume",
        "status",
    ]

    private static let inWords = [
        "set": "change a queue", "remove": "end somebody's turn", "look-for": "end somebody's turn",
        "there": "run commands there", RemoteRun.newerVerb: "run commands there",
    ]

    /// A request as it is to be done.
    /// - Throws: ``SemaphoreError`` with code `permission` for what is not allowed.
    func admit(_ request: Message) throws(SemaphoreError) -> Message {
        // The kernel would take what stands before it.
        guard request["path"]?.utf8.contains(0) != true else {
            throw SemaphoreError(.usage, "a path with a zero byte in it names no queue")
        }
        var admitted = request
        // Of our own policy, and nothing that a client says.
        admitted["confined"] = nil
        admitted["may-not-make"] = nil
        guard let root else { return admitted }
        guard Self.harmless.contains(request.verb) else {
            throw SemaphoreError(
                .permission, "this key can only take turns, not \(Self.inWords[request.verb] ?? "more")")
        }
        guard let name = request["path"] else { return admitted }
        admitted["path"] = try path(name, below: root)
        admitted["confined"] = "\(root)/\(name)"
        if !mayMake { admitted["may-not-make"] = "1" }
        return admitted
    }

    /// An error that names the queue as the client did.
    func told(_ error: SemaphoreError, about request: Message) -> SemaphoreError {
        guard root != nil, let name = request["path"], let last = name.split(separator: "/").last,
            error.message.hasPrefix("\(last):")
        else { return error }
        return SemaphoreError(
            error.code, name + error.message.dropFirst(last.count), systemError: error.systemError)
    }

    /// The path by which a queue is opened. This process stands in the queue's folder then, reached folder by folder
    /// without following any link below the root, so that nothing that is swapped meanwhile leads out.
    private func path(_ name: String, below root: String) throws(SemaphoreError) -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !parts.isEmpty, name.utf8.count <= 512, parts.allSatisfy(Self.isPlain) else {
            throw SemaphoreError(
                .permission,
                "\(name.prefix(80)): this key reaches queues below one folder only, by names such as board.queue or "
                    + "lab/board.queue: letters, digits, ‘.’, ‘_’ and ‘-’, no leading dot or hyphen")
        }
        if let ending = Self.endingsBeside.first(where: name.hasSuffix) {
            throw SemaphoreError(
                .permission,
                "\(name): this key takes no queue whose name ends in \(ending): such a file stands beside a queue, and "
                    + "tells of it")
        }
        let top = Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard top >= 0 else {
            throw SemaphoreError(
                .cannotCreate,
                "\(name): the folder \(folder), below which this key reaches queues, can't be opened: "
                    + String(cString: strerror(errno)), systemError: errno)
        }
        var current = Description(owning: top)
        for part in parts.dropLast() {
            let next = openat(
                current.descriptor, String(part), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
            guard next >= 0 else {
                if errno == ENOTDIR || errno == ELOOP {
                    throw SemaphoreError(
                        .permission, "\(name): \(part) is no folder, and this key follows no links", systemError: errno)
                }
                throw SemaphoreError(
                    .cannotCreate, "\(name): there is no folder \(part): \(String(cString: strerror(errno)))",
                    systemError: errno)
            }
            current = Description(owning: next)
        }
        guard fchdir(current.descriptor) == 0 else {
            throw SemaphoreError(
                .permission, "\(name): its folder can't be entered: \(String(cString: strerror(errno)))",
                systemError: errno)
        }
        return String(parts.last!)
    }

    /// Of what ``RemoteMark`` and ``History`` keep beside a queue.
    private static let endingsBeside = [".remote", ".history", ".history.1"]

    /// Words that mean nothing to a shell, a terminal or the file system.
    private static func isPlain(_ part: Substring) -> Bool {
        guard let first = part.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
        return part.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}
