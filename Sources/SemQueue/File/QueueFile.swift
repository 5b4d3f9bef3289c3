internal import CSemQueue
internal import Glibc

/// A queue file on this machine: how it is opened and made, and its lines.
///
/// The file is never cut and never unlinked, and lines are overwritten in place, so that neither a
/// full disk nor a dying process can lose what stands in it.
struct QueueFile: Sendable {
    /// As it was given, for messages.
    let path: String
    /// The same from the root, as of the first opening: a folder that is moved takes the processes along that stand in it,
    /// and a name from there would follow it.
    let place: String
    /// Where it is looked for. Where nothing but this is done by a name from the root, `place` is the path.
    private let watched: String
    /// Which file the path named when it was opened.
    let identity: Identity
    /// The kernel's name for it as it was last seen in place, for when that can't be looked at; nil where there is no /proc.
    private let kernelName: Guarded<[UInt8]?>

    struct Identity: Hashable, Sendable {
        var device: UInt64
        var inode: UInt64

        init(device: UInt64, inode: UInt64) {
            self.device = device
            self.inode = inode
        }

        init(_ info: stat) { self.init(device: UInt64(info.st_dev), inode: UInt64(info.st_ino)) }
    }

    /// What opening may do.
    struct Options: Sendable {
        /// Make the file if it is missing.
        var create = true
        /// What is said where it is missing and not made.
        var absence = "; `semq acquire` makes one"
        /// Use file systems that are not known to keep locks.
        var anyFilesystem = false
        /// Read only: enough to look, not to lock.
        var readOnly = false
        /// Where to open it, from the root; nil: by its path, from the folder that this process stands in.
        var place: String?
        /// Where to look for it, from the root, while it is opened, and what stands beside it, from the folder that this
        /// process stands in and by no other name: a folder above may be swapped for a link. Nil: it is not confined.
        var confinedTo: String?
    }

    /// - Parameter description: of the file.
    init(path: String, place: String, watched: String? = nil, identity: Identity, description: Description) {
        (self.path, self.place, self.watched, self.identity) = (path, place, watched ?? place, identity)
        kernelName = Guarded(description.kernelName)
    }

    // MARK: regions, in lines

    static let noteLines = 2..<18
    static let slotLines = 32..<(32 + LockSpace.maximumConcurrency)
    static let maximumWaiting = 4096
    static let waiterLines = slotLines.upperBound..<(slotLines.upperBound + maximumWaiting)
    // Older ones read none of those that follow.

    /// Those of the first slots stand ahead, where there is room from the beginning: behind the waiters they would make
    /// the file longer for everybody who reads it.
    private static let firstProofLines = noteLines.upperBound..<slotLines.lowerBound
    static let proofLines = waiterLines.upperBound..<(waiterLines.upperBound + LockSpace.maximumConcurrency)
    static let remarkLines = proofLines.upperBound..<(proofLines.upperBound + LockSpace.maximumConcurrency)
    static let nestedLines = remarkLines.upperBound..<(remarkLines.upperBound + LockSpace.maximumNested)

    /// How many lines a new queue begins with: room for all records that its holders write.
    static func firstLines(concurrency: Int) -> Int { slotLines.lowerBound + concurrency }

    static func proofLine(ofSlot slot: Int) -> Int {
        (slot < firstProofLines.count ? firstProofLines : proofLines).lowerBound + slot
    }

    // MARK: opening

    /// Opens the file, making it where that is allowed.
    /// - Returns: the file, a description of it, and whether it was made by this call.
    /// - Throws: ``SemaphoreError`` that names the path.
    static func open(_ path: String, _ options: Options) throws(SemaphoreError) -> (QueueFile, Description, made: Bool)
    {
        let (descriptor, made) = try openDescriptor(path, options)
        let description = Description(owning: descriptor)
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { throw .system(.io, "can't look at", path) }
        guard info.st_mode & S_IFMT == S_IFREG else { throw notRegular(path, info.st_mode) }
        try Filesystem.check(description, path: path, any: options.anyFilesystem)
        let identity = Identity(info)
        let watched = options.confinedTo ?? place(of: path, options, identity)
        let file = QueueFile(
            path: path, place: options.confinedTo == nil ? watched : path, watched: watched, identity: identity,
            description: description)
        return (file, description, made)
    }

    /// The path from the root, where it leads to the file; it doesn't where a folder above is closed to us, or has a name
    /// that is no text.
    private static func place(of path: String, _ options: Options, _ identity: Identity) -> String {
        if let place = options.place { return place }
        let place = fromRoot(path)
        guard place != path else { return path }
        var info = semq_file()
        guard semq_look(AT_FDCWD, place, &info) == 0 else { return path }
        return Identity(device: info.device, inode: info.inode) == identity ? place : path
    }

    /// A description of the file, or nil if there is none at the path.
    static func openIfThere(_ path: String, _ options: Options) throws(SemaphoreError) -> Description? {
        var info = stat()
        if lstat(path, &info) != 0, errno == ENOENT || errno == ENOTDIR { return nil }
        return try open(path, options).1
    }

    /// Another description of the same file.
    func reopen(readOnly: Bool = false) throws(SemaphoreError) -> Description {
        var options = Options(create: false, anyFilesystem: true, readOnly: readOnly, place: place)
        if let (file, description, _) = try? QueueFile.open(path, options), file.identity == identity {
            return description
        }
        // A folder above it may be closed to us.
        options.place = nil
        let (file, description, _) = try QueueFile.open(path, options)
        guard file.identity == identity else { throw replaced() }
        return description
    }

    func replaced() -> SemaphoreError {
        SemaphoreError(.io, "\(path): the queue file was replaced just now; try again", systemError: ESTALE)
    }

    /// What is said where ``isFolderInPlace`` is false.
    func folderMoved() -> SemaphoreError {
        SemaphoreError(.io, "\(path): its folder was moved or replaced just now; try again", systemError: ESTALE)
    }

    /// For one that is confined: whether the folder that we stand in is the one that it is looked for in.
    var isFolderInPlace: Bool {
        var named = stat()
        var entered = stat()
        return stat(Self.parent(of: watched), &named) == 0 && stat(".", &entered) == 0
            && Identity(named) == Identity(entered)
    }

    /// Where it is looked for from the folder that we stand in: whether it is there, so that one that isn't in its place was
    /// moved with the folder.
    var hasGoneAlong: Bool {
        var info = semq_file()
        guard !watched.hasPrefix("/"), semq_look(AT_FDCWD, watched, &info) == 0 else { return false }
        return Identity(device: info.device, inode: info.inode) == identity
    }

    /// Whether its place still names the file that was opened. Where the place can't be looked at, because a folder above
    /// was closed to us, say, the file tells whether it was deleted or moved; where it can't either, it is taken to be
    /// there.
    /// - Parameters:
    ///   - description: of the file.
    ///   - remembers: the kernel's name for it, where it is in place: it can be moved, and be in its place by a link.
    func isInPlace(through description: Description, remembers: Bool = false) -> Bool {
        var info = semq_file()
        let error = semq_look(AT_FDCWD, watched, &info)
        if error == ENOENT || error == ENOTDIR { return false }
        if error == 0 {
            guard Identity(device: info.device, inode: info.inode) == identity else { return false }
            guard watched.hasPrefix("/") else { return hasKeptItsName(description) }
            if remembers {
                let name = description.kernelName
                kernelName.withLock { $0 = name }
            }
            return true
        }
        if semq_look(description.descriptor, "", &info) == 0, info.links == 0 { return false }
        return hasKeptItsName(description)
    }

    private func hasKeptItsName(_ description: Description) -> Bool {
        guard let known = kernelName.withLock({ $0 }), let now = description.kernelName else { return true }
        return now == known
    }

    private static func openDescriptor(
        _ path: String, _ options: Options
    ) throws(SemaphoreError) -> (Int32, made: Bool) {
        let place = options.place ?? path
        // Not blocking, so that a FIFO or a device is refused and not waited for.
        let flags = (options.readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        for _ in 0..<8 {
            // Without O_CREAT first: fs.protected_regular refuses O_CREAT on another user's file in /tmp.
            let existing = Glibc.open(place, flags)
            if existing >= 0 { return (existing, false) }
            guard errno == ENOENT else { throw openFailed(path, readOnly: options.readOnly) }
            guard options.create else {
                let hasFolder = access(parent(of: place), F_OK) == 0
                let absence = hasFolder ? options.absence : ", and no folder \(parent(of: path))"
                throw SemaphoreError(.cannotCreate, "\(path): there is no such queue\(absence)", systemError: ENOENT)
            }
            try checkFolder(of: place, options)
            let new = Glibc.open(place, flags | O_CREAT | O_EXCL, 0o600)
            if new >= 0 {
                shareLikeFolder(new, place)
                return (new, true)
            }
            guard errno == EEXIST else { throw createFailed(place) }
        }
        throw SemaphoreError(.io, "\(path): appears and vanishes again and again; is something deleting it?")
    }

    /// Nothing is made where it would be refused.
    private static func checkFolder(of path: String, _ options: Options) throws(SemaphoreError) {
        let folder = Glibc.open(parent(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return }  // making the file says why
        try Filesystem.check(Description(owning: folder), path: path, any: options.anyFilesystem)
    }

    /// Whoever may write in the folder may use the queue, whatever the umask. Where the folder hands
    /// its group on (setgid) the kernel has given the file that group already.
    static func shareLikeFolder(_ descriptor: Int32, _ path: String) {
        var info = stat()
        guard stat(parent(of: path), &info) == 0 else { return }
        fchmod(descriptor, 0o666 & info.st_mode)
    }

    /// The path from the root, whatever folder the process changes to later. Links stay as they are.
    static func fromRoot(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return String(cString: folder) + "/" + path
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    // MARK: lines

    static func readLines(_ lines: Range<Int>, from description: Description) -> [UInt8] {
        let count = lines.count * Line.length
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = max(
                0, pread(description.descriptor, buffer.baseAddress, count, off_t(lines.lowerBound * Line.length)))
        }
    }

    static func record<Record: LineRecord>(_: Record.Type, at line: Int, from description: Description) -> Record? {
        Record(line: readLines(line..<(line + 1), from: description)[...])
    }

    /// All sound records of a kind in a region, with their lines.
    static func records<Record: LineRecord>(
        _: Record.Type, in region: Range<Int>, from description: Description
    ) -> [(line: Int, record: Record)] {
        let bytes = readLines(region, from: description)
        return stride(from: 0, to: bytes.count, by: Line.length).compactMap { start in
            Record(line: bytes[start..<min(start + Line.length, bytes.count)])
                .map { (region.lowerBound + start / Line.length, $0) }
        }
    }

    /// The tickets of all who have written that they wait; some may be gone.
    static func waitingTickets(from description: Description) -> [Ticket] {
        var found: [Ticket] = []
        // A part at a time, and no further than the file goes.
        let part = 64
        for first in stride(from: waiterLines.lowerBound, to: waiterLines.upperBound, by: part) {
            let bytes = readLines(first..<min(first + part, waiterLines.upperBound), from: description)
            found += WaiterRecord.tickets(in: bytes)
            if bytes.count < part * Line.length { break }
        }
        return found
    }

    /// Writes in place. A write that fails (full disk) is reported and otherwise without consequence:
    /// no grant and no release depends on what is written.
    @discardableResult
    static func write(_ bytes: [UInt8], at line: Int, to description: Description) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let start = off_t(line * Line.length + rest.startIndex)
                // Less than all is written where the disk has room for a part: the next call says why.
                let count = pwrite(
                    description.descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count, start)
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    static func header(from description: Description) -> Header? {
        let bytes = readLines(0..<2, from: description)
        return Header(line: bytes.prefix(Line.length)) ?? Header(line: bytes.dropFirst(Line.length))
    }

    @discardableResult
    static func write(_ header: Header, to description: Description) -> Bool {
        let line = header.line
        return write(line + line, at: 0, to: description)
    }
}

// MARK: what goes wrong

extension SemaphoreError {
    /// The system's reason, in a sentence about a path.
    static func system(_ code: Code, _ what: String, _ path: String, advice: String = "") -> SemaphoreError {
        let number = errno
        return SemaphoreError(
            code, "\(path): \(what) the queue file: \(String(cString: strerror(number)))\(advice)", systemError: number)
    }
}

extension QueueFile {
    private static func openFailed(_ path: String, readOnly: Bool) -> SemaphoreError {
        let doing = readOnly ? "can't read" : "can't open"
        switch errno {
        case ELOOP:
            var info = stat()
            guard lstat(path, &info) == 0 else { return .system(.cannotCreate, doing, path) }
            return SemaphoreError(
                .unusable, "\(path): is a symbolic link, and links are not followed; name the file that it points to",
                systemError: ELOOP)
        case EISDIR: return notRegular(path, S_IFDIR)
        case ENXIO:
            var info = stat()
            return notRegular(path, lstat(path, &info) == 0 ? info.st_mode : S_IFSOCK)
        case ENAMETOOLONG: return .system(.cannotCreate, doing, path)
        case EACCES, EPERM:
            return .system(
                .permission, doing, path,
                advice: readOnly
                    ? "; looking needs permission to read it" : "; taking a turn needs permission to read and write it")
        case EROFS:
            return .system(.unusable, doing, path, advice: "; a queue must lie where all its users can write")
        case EMFILE, ENFILE: return .system(.io, doing, path, advice: "; raise the limit (ulimit -n)")
        case ENOTDIR: return .system(.cannotCreate, doing, path)
        default: return .system(.io, doing, path)
        }
    }

    private static func createFailed(_ path: String) -> SemaphoreError {
        switch errno {
        case ENOENT:
            return SemaphoreError(
                .cannotCreate, "\(path): there is no folder \(parent(of: path)) to make the queue in",
                systemError: ENOENT)
        case EACCES, EPERM:
            return .system(
                .cannotCreate, "can't make", path, advice: "; its folder \(parent(of: path)) is not writable")
        case EMFILE, ENFILE: return .system(.io, "can't make", path, advice: "; raise the limit (ulimit -n)")
        case EISDIR:
            return SemaphoreError(
                .cannotCreate,
                "\(path): names a folder, which is not there; a queue is a regular file, such as board.queue",
                systemError: EISDIR)
        default: return .system(.cannotCreate, "can't make", path)
        }
    }

    private static func notRegular(_ path: String, _ mode: mode_t) -> SemaphoreError {
        let kind =
            switch mode & S_IFMT {
            case S_IFDIR: "a folder"
            case S_IFIFO: "a FIFO"
            case S_IFSOCK: "a socket"
            case S_IFCHR, S_IFBLK: "a device"
            default: "no regular file"
            }
        let hasNoRoomBeside = path.hasSuffix(".") || path.hasSuffix("/") || path.hasPrefix("/dev/")
        let other = hasNoRoomBeside ? "board.queue" : "\(path).queue"
        return SemaphoreError(.unusable, "\(path): is \(kind); a queue is a regular file, such as \(other)")
    }
}
