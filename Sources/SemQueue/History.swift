internal import CSemQueue
internal import Glibc

/// What happened at a queue: one JSON object a line, in the file `<queue>.history` beside it.
///
/// Written with one call for each event and never waited for: a history that can't be written stops
/// nothing. At ``limit`` bytes the file becomes `<queue>.history.1`, in place of the one before.
package struct History {
    enum Event: String {
        case granted, released, lost, removed, paused, resumed
        case concurrency
        case headerLost = "header-lost"
    }

    static let limit: off_t = 1 << 20

    let path: String

    package init(of queuePath: String) { path = queuePath + ".history" }

    var previousPath: String { path + ".1" }

    func append(_ event: Event, at time: Timestamp, _ fields: [(String, JSON)]) {
        var line = JSON.object([("time", .string(time.rfc3339Precise)), ("event", .string(event.rawValue))] + fields).utf8
        line.append(UInt8(ascii: "\n"))
        guard let descriptor = open() else { return }
        defer { close(descriptor) }
        _ = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }

    private func open() -> Int32? {
        let flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        for _ in 0..<2 {
            var descriptor = Glibc.open(path, flags)
            if descriptor < 0, errno == ENOENT {
                descriptor = Glibc.open(path, flags | O_CREAT, 0o600)
                var folder = stat()
                if descriptor >= 0, stat(QueueFile.parent(of: path), &folder) == 0 {
                    fchmod(descriptor, 0o666 & folder.st_mode)
                }
            }
            guard descriptor >= 0 else { return nil }
            var info = stat()
            if fstat(descriptor, &info) == 0, info.st_size < Self.limit { return descriptor }
            // Two who turn the page at once: the second finds the new page, or turns an empty one.
            close(descriptor)
            guard rename(path, previousPath) == 0 else { return nil }
        }
        return nil
    }

    /// The lines kept, oldest first.
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
            return bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
        }
    }
}

extension History {
    static func member(_ ticket: Ticket, _ party: Party) -> [(String, JSON)] {
        [
            ("ticket", .integer(ticket.number)), ("priority", .integer(Int64(ticket.priority))),
            ("pid", .integer(Int64(party.pid))), ("host", .string(party.host)), ("user", .string(party.user)),
            ("description", .string(party.description)),
        ]
    }
}
