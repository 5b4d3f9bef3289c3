/// What the messages say of the queue's own things.

extension SemaphoreError {
    private static let codes: [(Code, String)] = [
        (.usage, "usage"), (.unusable, "unusable"), (.cannotCreate, "cannot-create"), (.io, "io"),
        (.permission, "permission"), (.unreachable, "unreachable"), (.lost, "lost"), (.removed, "removed"),
        (.full, "full"),
    ]

    var asMessage: Message {
        let code = Self.codes.first { $0.0 == self.code }?.1 ?? "io"
        return Message("error", [("code", code), ("errno", "\(systemError)"), ("text", message)])
    }

    /// - Parameter place: put before what the other side says of a path of its own.
    init(_ message: Message, at place: String) {
        let code = Self.codes.first { $0.1 == message["code"] }?.0 ?? .io
        let number = message.integer("errno").flatMap(Int32.init(exactly:)) ?? 0
        self.init(code, "\(place): \(message["text"] ?? "the host's semq says no more")", systemError: number)
    }
}

extension Party {
    var fields: [(name: String, value: String)] {
        [("pid", "\(pid)"), ("host", host), ("user", user), ("description", description)]
    }

    init?(_ message: Message) {
        guard let pid = message.integer("pid").flatMap(Int32.init(exactly:)), let host = message["host"],
            let user = message["user"], let description = message["description"]
        else { return nil }
        self.init(pid: pid, host: host, user: user, description: description)
    }
}

extension Ticket {
    var fields: [(name: String, value: String)] { [("ticket", "\(number)"), ("priority", "\(priority)")] }

    init?(_ message: Message) {
        guard let number = message.integer("ticket"), let priority = message.integer("priority"),
            (0..<(1 << 40)).contains(number), Ticket.priorities.contains(Int(clamping: priority))
        else { return nil }
        self.init(priority: Int(priority), number: number)
    }
}

extension Request {
    var fields: [(name: String, value: String)] {
        var fields = [("priority", "\(priority)"), ("description", description)]
        if let concurrency { fields.append(("concurrency", "\(concurrency)")) }
        if let limit { fields.append(("limit", "\(limit.nanoseconds / 1_000_000)")) }
        if existing { fields.append(("existing", "1")) }
        if anyFilesystem { fields.append(("any-filesystem", "1")) }
        return fields
    }

    /// - Throws: ``SemaphoreError`` with code `usage` for what no client of ours sends.
    init(_ message: Message) throws(SemaphoreError) {
        self.init()
        priority = Int(clamping: message.integer("priority") ?? 0)
        description = message["description"] ?? ""
        concurrency = message.integer("concurrency").map { Int(clamping: $0) }
        limit = message.duration("limit")
        existing = message.flag("existing")
        anyFilesystem = message.flag("any-filesystem")
        guard Ticket.priorities.contains(priority), concurrency.map(Request.concurrencies.contains) ?? true else {
            throw SemaphoreError(.usage, "a request with a priority or concurrency out of range")
        }
    }
}

// MARK: what a queue looks like

extension QueueStatus {
    /// One message for the queue, one for each holder and waiter, and `end`.
    var messages: [Message] {
        var queue: [(name: String, value: String)] = [
            ("concurrency", "\(concurrency)"), ("recovered", isRecovered ? "1" : "0"),
        ]
        if let paused {
            queue += [
                ("paused-by", paused.by), ("paused-since", "\(paused.since.microseconds)"),
                ("paused-reason", paused.reason),
            ]
        }
        return [Message("queue", queue)] + holders.map(\.message) + waiting.map(\.message) + [Message("end")]
    }

    /// Puts a status together from its messages.
    struct Assembly {
        private var status: QueueStatus?

        /// - Returns: the status, once its end has come.
        mutating func take(_ message: Message, semaphore: String) -> QueueStatus? {
            switch message.verb {
            case "queue": status = QueueStatus(message, semaphore: semaphore)
            case "holder": if let holder = Holder(message) { status?.holders.append(holder) }
            case "waiter": if let waiter = Waiter(message) { status?.waiting.append(waiter) }
            case "end":
                defer { status = nil }
                return status
            default: break
            }
            return nil
        }
    }

    private init(_ message: Message, semaphore: String) {
        let pause = message["paused-by"].map {
            Pause(
                by: $0, since: Timestamp(message.integer("paused-since") ?? 0), reason: message["paused-reason"] ?? "")
        }
        self.init(
            semaphore: semaphore, concurrency: Int(clamping: message.integer("concurrency") ?? 1),
            isRecovered: message.flag("recovered"), paused: pause, holders: [], waiting: [])
    }
}

extension QueueStatus.Holder {
    fileprivate var message: Message {
        Message(
            "holder",
            [("slot", "\(slot)"), ("token", "\(token)"), ("since", "\(since.microseconds)")] + ticket.fields
                + party.fields)
    }

    fileprivate init?(_ message: Message) {
        guard let ticket = Ticket(message), let party = Party(message), let slot = message.integer("slot"),
            let token = message.integer("token"), let since = message.integer("since")
        else { return nil }
        self.init(
            slot: Int(clamping: slot), ticket: ticket, token: token, since: Timestamp(since), party: party)
    }
}

extension QueueStatus.Waiter {
    fileprivate var message: Message {
        Message(
            "waiter",
            [("since", "\(since.microseconds)"), ("stopped", isStopped ? "1" : "0")] + ticket.fields + party.fields)
    }

    fileprivate init?(_ message: Message) {
        guard let ticket = Ticket(message), let party = Party(message), let since = message.integer("since") else {
            return nil
        }
        self.init(ticket: ticket, since: Timestamp(since), party: party, isStopped: message.flag("stopped"))
    }
}
