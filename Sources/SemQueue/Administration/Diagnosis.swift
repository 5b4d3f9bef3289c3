internal import CSemQueue
internal import Glibc

/// What `semq doctor` finds out about a queue on this machine, in the order in which it matters.
package struct Diagnosis {
    package enum Verdict: Equatable {
        case good
        /// Works, with something to know.
        case note
        /// Doesn't work.
        case bad
    }

    package struct Finding: Equatable {
        package var subject: String
        package var verdict: Verdict
        /// What is so, and what to do about it.
        package var text: String
        /// What kind of failure a bad one is.
        package var code = SemaphoreError.Code.unusable

        package init(subject: String, verdict: Verdict, text: String, code: SemaphoreError.Code = .unusable) {
            self.subject = subject
            self.verdict = verdict
            self.text = text
            self.code = code
        }
    }

    /// Looks at a folder where queues may be made.
    package static func ofFolder(_ folder: String) -> [Finding] {
        let flaw = flaw(of: folder)
        var findings = [
            Finding(
                subject: "folder", verdict: flaw == nil ? .good : .bad,
                text: flaw.map { "\(folder): \($0); no queue can be made here" }
                    ?? "\(QueueStatus.absolute(folder)): a queue can be made here")
        ]
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor >= 0 { findings.append(filesystem(Description(owning: descriptor))) }
        return findings
    }

    /// Looks at the queue at a path, or at the folder where it would be. Ends with what makes the rest impossible.
    package static func of(_ path: String) -> [Finding] {
        var findings: [Finding] = []
        var info = stat()
        if stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR { return ofFolder(path) }
        let opened: (QueueFile, Description, made: Bool)
        do {
            opened = try QueueFile.open(path, .init(create: false, anyFilesystem: true))
        } catch {
            let missing = error.systemError == ENOENT
            let folder = QueueFile.parent(of: path)
            findings.append(missing ? absence(of: path, from: folder) : bad("file", error.message))
            let folderDescriptor = missing ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1
            if folderDescriptor >= 0 { findings.append(filesystem(Description(owning: folderDescriptor))) }
            return findings
        }
        let (file, description, _) = opened
        findings.append(
            Finding(subject: "file", verdict: .good, text: "\(QueueStatus.absolute(path)), readable and writable"))
        findings.append(filesystem(description))
        findings.append(locks(file, description))
        let records = records(file, description)
        findings.append(records)
        guard records.verdict != .bad || !isForeign(file, description) else { return findings }
        if let space = space(description) { findings.append(space) }
        if let flaw = History(of: path).flaw(reading: false) {
            findings.append(Finding(subject: "history", verdict: .note, text: flaw))
        }
        let status = QueueStatus(of: file, through: description)
        if let until = status.heldOffUntil {
            findings.append(
                Finding(
                    subject: "held off", verdict: .note,
                    text: "nobody is granted until \(until.local(relativeTo: .now())): somebody on another host may "
                        + "hold it, whose record was lost"))
        }
        if let pause = Book.header(from: description)?.pause {
            findings.append(
                Finding(
                    subject: "paused", verdict: .note,
                    text: "by \(pause.by): \(pause.reason); until: semq set \(path) --resume"))
        }
        findings += stuck(path)
        for holder in status.holders where holder.isOrphaned {
            let owners = LockOwner.all(LockSpace.hold(holder.slot), path).map { "\($0)" }.joined(by: ", ")
            findings.append(
                Finding(
                    subject: "slot \(holder.slot)", verdict: .note,
                    text: "the semq that held it and its guardian are dead; it is free when \(owners), which they have "
                        + "left, ends or is ended"))
        }
        for holder in status.holders where holder.isStopped {
            guard let owner = LockOwner.of(LockSpace.hold(holder.slot), path), owner.isStopped else { continue }
            findings.append(
                Finding(
                    subject: "slot \(holder.slot)", verdict: .note,
                    text: "\(owner) stands still with it: let it go on (kill -CONT \(owner.pid)) or end it"))
        }
        return findings
    }

    /// Why no queue can be made in a folder; nil where one can.
    private static func flaw(of folder: String) -> String? {
        var info = stat()
        guard stat(folder, &info) == 0, access(folder, W_OK | X_OK) == 0 else {
            return String(cString: strerror(errno))
        }
        if info.st_nlink == 0 { return "has been deleted" }
        var disk = statvfs()
        guard statvfs(folder, &disk) == 0 else { return nil }
        let hasNoFile = disk.f_files > 0 && (geteuid() == 0 ? disk.f_ffree : disk.f_favail) == 0
        return hasNoFile || !hasRoom(disk, for: newQueue) ? String(cString: strerror(ENOSPC)) : nil
    }

    /// - Parameter bytes: what is to be written; one for anything at all.
    private static func hasRoom(_ disk: statvfs, for bytes: Int = 1) -> Bool {
        // What a file system reserves is root's; one without blocks doesn't count them.
        let free = geteuid() == 0 ? disk.f_bfree : disk.f_bavail
        return disk.f_blocks == 0 || UInt64(free) >= (UInt64(bytes) + UInt64(disk.f_frsize) - 1) / UInt64(disk.f_frsize)
    }

    private static func hasRoom(_ description: Description, for bytes: Int = 1) -> Bool {
        var disk = statvfs()
        return fstatvfs(description.descriptor, &disk) != 0 || hasRoom(disk, for: bytes)
    }

    private static let newQueue = QueueFile.firstLines(concurrency: 1) * Line.length

    private static func absence(of path: String, from folder: String) -> Finding {
        if access(folder, F_OK) != 0 { return bad("file", "\(path): there is no folder \(folder)") }
        if let flaw = flaw(of: folder) { return bad("file", "\(path): not there, and \(folder): \(flaw)") }
        return Finding(
            subject: "file", verdict: .note,
            text: "\(path): not there yet; the first acquire makes it in \(QueueStatus.absolute(folder))")
    }

    private static func bad(_ subject: String, _ text: String) -> Finding {
        Finding(subject: subject, verdict: .bad, text: text)
    }

    private static func filesystem(_ description: Description) -> Finding {
        switch Filesystem.kind(magic: semq_filesystem(description.descriptor)) {
        case .local(let name):
            Finding(
                subject: "file system", verdict: .good, text: "\(name): locks hold for all processes of this machine")
        case .overlay:
            Finding(
                subject: "file system", verdict: .note,
                text: "overlay: the file is this container's own; to share it with others mount a folder (-v DIR:DIR)")
        case .network(let name):
            Finding(
                subject: "file system", verdict: .bad,
                text:
                    "\(name): locks may not hold between machines; move the queue to a disk of the machine that owns the thing"
            )
        case .unknown(let magic):
            Finding(
                subject: "file system", verdict: .bad,
                text:
                    "unknown (0x\(String(magic, radix: 16))): not known to keep locks; --any-filesystem uses it all the same"
            )
        }
    }

    /// Tries whether two descriptions exclude each other, on a byte that means nothing to the queue.
    private static func locks(_ file: QueueFile, _ description: Description) -> Finding {
        let probe = LockSpace.probe
        guard let other = try? file.reopen(), description.tryLock(.write, probe) else {
            return Finding(
                subject: "locks", verdict: .bad,
                text: "the kernel refuses open-file-description locks (Linux 3.15 has them)")
        }
        defer { description.unlock(probe) }
        let excluded = !other.tryLock(.write, probe)
        return Finding(
            subject: "locks", verdict: excluded ? .good : .bad,
            text: excluded
                ? "two openings of the file exclude each other"
                : "two openings of the file do not exclude each other here")
    }

    private static func records(_ file: QueueFile, _ description: Description) -> Finding {
        guard let header = Book.header(from: description) else {
            do throws(SemaphoreError) {
                try Book(file: file, description: description).checkIsQueue()
            } catch {
                return bad("records", error.message)
            }
            guard isEmpty(description) else {
                return bad(
                    "records",
                    "the header is damaged: one at a time until somebody says semq set \(file.path) --concurrency N")
            }
            // Who holds it goes on, as at a queue that is there.
            let isUsed = !description.heldSlots().isEmpty || !description.waiting().isEmpty
            guard isUsed || hasRoom(description, for: newQueue) else {
                return bad(
                    "records",
                    "empty, and can't be made a queue: \(String(cString: strerror(ENOSPC))); make room on the disk")
            }
            return Finding(subject: "records", verdict: .note, text: "empty: the first acquire makes it a queue")
        }
        let origin =
            switch header.origin {
            case .created: ""
            case .set: ", set by hand"
            case .recovered: ": was damaged; set it: semq set \(file.path) --concurrency N"
            }
        return Finding(
            subject: "records", verdict: header.origin == .recovered ? .note : .good,
            text:
                "concurrency \(header.concurrency)\(origin); the last ticket drawn is \(header.lastTicket)"
        )
    }

    private static func isForeign(_ file: QueueFile, _ description: Description) -> Bool {
        (try? Book(file: file, description: description).checkIsQueue()) == nil
    }

    private static func isEmpty(_ description: Description) -> Bool {
        var info = stat()
        return fstat(description.descriptor, &info) == 0 && info.st_size == 0
    }

    /// Nil where there is room, or no queue yet.
    private static func space(_ description: Description) -> Finding? {
        guard !isEmpty(description), !hasRoom(description) else { return nil }
        return Finding(
            subject: "space", verdict: .note,
            text: "\(String(cString: strerror(ENOSPC))): turns go on, but the history has gaps, and who waits may be "
                + "shown without a name; make room on the disk")
    }

    private static func stuck(_ path: String) -> [Finding] {
        guard let holder = LockOwner.ofMutex(path) else {
            return [Finding(subject: "mutex", verdict: .good, text: "nobody stands still with it")]
        }
        return [
            Finding(
                subject: "mutex", verdict: holder.isStopped ? .bad : .note,
                text:
                    "\(holder) holds it\(holder.isStopped ? ": let it go on (kill -CONT \(holder.pid)) or end it" : " just now")"
            )
        ]
    }
}
