internal import CSemQueue
internal import Glibc

/// What happened at a queue: one JSON object a line, in the file `<queue>.history` beside it.
///
/// Written with one call for each event and never waited for: a history that can't be written stops
/// nothing. At ``limit`` bytes the file becomes `<queue>.history.1`, in place of the one before.
package final class History: Sendable {
    enum Event: String {
        case granted, released, lost, removed, paused, resumed
        case concurrency
        case headerLost = "header-lost"
        case heldOff = "held-off"
    }

    static let limit: off_t = 1 << 20

    let path: String
    /// The page, kept open from one event to the next; −1 before the first.
    private let page: Guarded<Int32> = Guarded(-1)

    package init(of queuePath: String) { path = queuePath + ".history" }

    /// The queue whose history a path is, by its name.
    static func queue(of path: String) -> String? {
        for end in [".history", ".history.1"] where path.hasSuffix(end) { return String(path.dropLast(end.count)) }
        return nil
    }

    deinit { page.withLock { if $0 >= 0 { close($0) } } }

    /// How each line begins. Within one it can't stand: there, quotes are escaped.
    private static let start = Array(#"{"time": ""#.utf8)
    private static let timeEnd = #"{"time": "2026-11-23T04:10:55.123456Z""#.utf8.count

    var previousPath: String { path + ".1" }

    func append(_ event: Event, at time: Timestamp, _ fields: [(String, JSON)]) {
        append(event, at: time, Tail(fields))
    }

    /// - Parameter makes: begins a history where there is none.
    func append(_ event: Event, at time: Timestamp, _ tail: Tail, makes: Bool = true) {
        let line = Self.line(event, at: time, tail)
        page.withLock { descriptor in
            guard isOpen(&descriptor, makes: makes) else { return }
            line.withUnsafeBytes { _ = write(descriptor, $0.baseAddress, $0.count) }
        }
    }

    static func line(_ event: Event, at time: Timestamp, _ tail: Tail) -> [UInt8] {
        Array("{\"time\": \"\(time.rfc3339Precise)\", \"event\": \"\(event.rawValue)\"".utf8) + tail.utf8
    }

    /// What a line says behind time and event, as it is written. A grant and its release say the same.
    struct Tail {
        fileprivate let utf8: [UInt8]

        init(_ fields: [(String, JSON)]) {
            let object = JSON.object(fields).utf8
            utf8 = (fields.isEmpty ? [] : Array(", ".utf8)) + object.dropFirst() + [UInt8(ascii: "\n")]
        }

        /// - Parameter reason: why the turn ended, where it did not as it should.
        init(_ holder: SlotRecord.Holder, slot: Int, reason: String? = nil) {
            self.init(
                History.holder(holder.ticket, holder.party, slot: slot, token: holder.token)
                    + (reason.map { [("reason", .string($0))] } ?? []))
        }

        init(_ holder: QueueStatus.Holder) {
            self.init(History.holder(holder.ticket, holder.party, slot: holder.slot, token: holder.token))
        }
    }

    /// Whether the descriptor is that of the page to write on; it is opened anew where that must be.
    private func isOpen(_ descriptor: inout Int32, makes: Bool) -> Bool {
        for _ in 0..<3 {
            if descriptor < 0 { descriptor = open(makes: makes) }
            var info = semq_file()
            guard descriptor >= 0, semq_look(descriptor, "", &info) == 0 else { return false }
            if info.size < Self.limit, info.links > 0 { return true }
            // Full, turned by somebody else or deleted. Two who turn the page at once: the second finds the
            // new page, or turns an empty one.
            close(descriptor)
            descriptor = -1
            var named = stat()
            if lstat(path, &named) == 0, named.st_size >= Self.limit, rename(path, previousPath) != 0 { return false }
        }
        return false
    }

    private func open(makes: Bool) -> Int32 {
        let flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        let existing = Glibc.open(path, flags)
        guard existing < 0, errno == ENOENT, makes else { return existing }
        let new = Glibc.open(path, flags | O_CREAT, 0o600)
        if new >= 0 { shareLikeQueue(new) }
        return new
    }

    /// Whoever may use the queue may write and read here, and nobody else.
    private func shareLikeQueue(_ descriptor: Int32) {
        var queue = stat()
        guard let path = Self.queue(of: path), stat(path, &queue) == 0 else { return }
        var info = stat()
        if fstat(descriptor, &info) == 0, info.st_gid != queue.st_gid { fchown(descriptor, uid_t.max, queue.st_gid) }
        fchmod(descriptor, 0o666 & queue.st_mode)
    }

    /// Why nothing can be written here, or what was written can't be read, in a sentence.
    package func flaw(reading: Bool) -> String? {
        let flags = (reading ? O_RDONLY : O_WRONLY | O_APPEND) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        let descriptor = Glibc.open(path, flags)
        var reason: String?
        if descriptor >= 0 {
            var info = stat()
            if fstat(descriptor, &info) != 0 || info.st_mode & S_IFMT != S_IFREG { reason = "it is no regular file" }
            close(descriptor)
        } else if errno == ELOOP {
            reason = "it is a symbolic link, and links are not followed"
        } else if errno != ENOENT || !reading && access(QueueFile.parent(of: path), W_OK | X_OK) != 0 {
            reason = String(cString: strerror(errno))
        }
        return reason.map { "\(path): what happens here can't be \(reading ? "read" : "written down"): \($0)" }
    }

    /// The lines kept, oldest first. A release may have been written behind the grant that followed it: they
    /// are ordered by their times, which stand at the start and have one width.
    package func lines() -> [String] {
        [previousPath, path].flatMap { path in
            let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            guard descriptor >= 0 else { return [String]() }
            defer { close(descriptor) }
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while bytes.count <= 2 * Int(Self.limit) {
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else { break }
                bytes += buffer[..<count]
            }
            return bytes.split(separator: UInt8(ascii: "\n")).flatMap(Self.whole).map {
                String(decoding: $0, as: UTF8.self)
            }
        }.sorted { $0.utf8.prefix(Self.timeEnd).lexicographicallyPrecedes($1.utf8.prefix(Self.timeEnd)) }
    }
}

extension History {
    /// A full disk takes a part of a line, and the next one stands right behind the rest.
    private static func whole(_ line: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        guard let second = line.dropFirst().firstRange(of: start) else { return [line] }
        return [line[..<second.lowerBound]] + whole(line[second.lowerBound...])
    }

    fileprivate static func holder(_ ticket: Ticket, _ party: Party, slot: Int, token: Int64) -> [(String, JSON)] {
        [
            ("ticket", .integer(ticket.number)), ("priority", .integer(Int64(ticket.priority))),
            ("pid", .integer(Int64(party.pid))), ("host", .string(party.host)),
            ("user", .string(party.user)), ("description", .string(party.description.bounded)),
            ("slot", .integer(Int64(slot))), ("token", .integer(token)),
        ]
    }
}
