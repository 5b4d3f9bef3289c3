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

    /// - Parameters:
    ///   - path: the queue as the other side knows it, by which its sentence may begin.
    ///   - name: the same as it is named here.
    init(_ message: Message, path: String, as name: String) {
        let code = Self.codes.first { $0.1 == message["code"] }?.0 ?? .io
        let number = message.integer("errno").flatMap(Int32.init(exactly:)) ?? 0
        let text = (message["text"] ?? "the host's semq says no more").renaming(path, to: name)
        self.init(code, text.hasPrefix(name) ? text : "\(name): \(text)", systemError: number)
    }
}

extension String {
    /// A sentence of another host's `semq` with a queue named as it is named here: where the sentence begins with
    /// it or a file beside it, and where it says what to type.
    package func renaming(_ path: String, to name: String) -> String {
        guard !path.isEmpty else { return self }
        var text = self
        for command in ["status", "set", "release", "doctor"] {
            text.replace("semq \(command) \(path)", with: "semq \(command) \(name)")
        }
        guard text.hasPrefix(path), [":", "."].contains(text.dropFirst(path.count).first) else { return text }
        return name + text.dropFirst(path.count)
    }
}

extension Message {
    /// More belongs to the same answer.
    var goesOn: Bool { ["queue", "holder", "waiter", "lines", "finding"].contains(verb) }
}

extension String {
    /// As much of a text by people as one message or a line of the history carries, and more than a record keeps.
    var bounded: String { cut(to: 1000) }

    /// The characters that fit into so many bytes, with … where some don't.
    func cut(to limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var size = 0
        return String(
            prefix { character in
                size += character.utf8.count
                return size <= limit
            }) + "…"
    }
}

extension Party {
    var fields: [(name: String, value: String)] {
        [("pid", "\(pid)"), ("host", host), ("user", user), ("description", description.bounded)]
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
            (0..<Ticket.numbers.upperBound).contains(number), Ticket.priorities.contains(Int(clamping: priority))
        else { return nil }
        self.init(priority: Int(priority), number: number)
    }
}

extension Request {
    var fields: [(name: String, value: String)] {
        var fields = [("priority", "\(priority)"), ("description", description.bounded)]
        if let concurrency { fields.append(("concurrency", "\(concurrency)")) }
        // Whoever waits for longer than a year waits without end.
        if let limit, limit < .milliseconds(Message.longestDuration) {
            fields.append(("limit", "\(limit.nanoseconds / 1_000_000)"))
        }
        if existing { fields.append(("existing", "1")) }
        if anyFilesystem { fields.append(("any-filesystem", "1")) }
        return fields
    }

    /// - Throws: ``SemaphoreError`` with code `usage` for what no client of ours sends.
    init(_ message: Message) throws(SemaphoreError) {
        self.init()
        for number in ["priority", "concurrency", "limit"]
        where message[number] != nil && message.integer(number) == nil {
            throw SemaphoreError(.usage, "a request whose \(number) is no number")
        }
        priority = Int(clamping: message.integer("priority") ?? 0)
        description = message["description"] ?? ""
        concurrency = message.integer("concurrency").map { Int(clamping: $0) }
        limit = message.duration("limit")
        existing = message.flag("existing")
        // Of the agent's own policy.
        confinedTo = message["confined"]
        if message.flag("may-not-make") { (existing, absence) = (true, ", and this key may make none") }
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
                ("paused-reason", paused.reason.bounded),
            ]
        }
        if let heldOffUntil { queue.append(("held-off", "\(heldOffUntil.microseconds)")) }
        return [Message("queue", queue)] + holders.map(\.message) + waiting.map(\.message) + [Message("end")]
    }

    /// Puts a status together from its messages.
    struct Assembly {
        private var status: QueueStatus?

        /// - Returns: the status, once its end has come.
        mutating func take(_ message: Message, semaphore: String) -> QueueStatus? {
            switch message.verb {
            case "queue": status = QueueStatus(message, semaphore: semaphore)
            case "holder":
                guard let holder = Holder(message), (status?.holders.count ?? 0) < LockSpace.maximumConcurrency else {
                    break
                }
                status?.holders.append(holder)
            case "waiter":
                guard let waiter = Waiter(message), (status?.waiting.count ?? 0) < QueueStatus.maximumWaiting else {
                    break
                }
                status?.waiting.append(waiter)
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
            semaphore: semaphore, concurrency: message.count("concurrency") ?? 1,
            isRecovered: message.flag("recovered"), paused: pause,
            heldOffUntil: message.integer("held-off").map(Timestamp.init), holders: [], waiting: [])
    }
}

extension QueueStatus.Holder {
    fileprivate var message: Message {
        var fields = [("slot", "\(slot)"), ("token", "\(token)"), ("since", "\(since.microseconds)")]
        if let leaseExpires { fields.append(("lease-expires", "\(leaseExpires.microseconds)")) }
        if isCutOff { fields.append(("cut-off", "1")) }
        if isStopped { fields.append(("stopped", "1")) }
        if isOrphaned { fields.append(("orphaned", "1")) }
        if let remark { fields.append(("remark", remark.bounded)) }
        let message = Message("holder", fields + ticket.fields + party.fields)
        // In one field, because an older client would take a message that it doesn't know for the answer's end.
        return nested.isEmpty ? message : message.telling(of: nested)
    }

    fileprivate init?(_ message: Message) {
        guard let ticket = Ticket(message), let party = Party(message), let slot = message.count("slot"),
            let token = message.integer("token"), let since = message.integer("since")
        else { return nil }
        self.init(
            slot: slot, ticket: ticket, token: token, since: Timestamp(since), party: party,
            leaseExpires: message.integer("lease-expires").map(Timestamp.init), isCutOff: message.flag("cut-off"),
            isStopped: message.flag("stopped"), isOrphaned: message.flag("orphaned"),
            remark: message["remark"],
            nested: (message["nested"] ?? "").split(separator: "\n").prefix(Self.mostNested).compactMap {
                QueueStatus.Nested(line: $0)
            })
    }

    /// As many are told of elsewhere.
    fileprivate static let mostNested = 16
}

extension Message {
    /// As many of those nested as the line has room for, first with their whole descriptions, and how many more there are.
    fileprivate func telling(of nested: [QueueStatus.Nested]) -> Message {
        for (count, length) in [(16, 200), (16, 60), (16, 20), (8, 60), (8, 20), (4, 20), (1, 20)] {
            let isWhole = nested.count <= min(count, QueueStatus.Holder.mostNested)
            // One that tells of the others is one of the most that are read.
            let told = isWhole ? nested : nested.prefix(count - 1) + [.others(nested.count - count + 1)]
            var message = self
            message["nested"] = told.map { $0.line(describedTo: length) }.joined(by: "\n")
            if message.lineLength <= Self.longestLine { return message }
        }
        return self
    }
}

extension QueueStatus.Nested {
    /// In the place of those that there is no room for.
    fileprivate static func others(_ count: Int) -> QueueStatus.Nested {
        .init(since: Timestamp(0), party: Party(pid: 0, host: "?", user: "?", description: "(and \(count) more)"))
    }

    fileprivate func line(describedTo limit: Int) -> String {
        var party = party
        party.description = party.description.cut(to: limit)
        let message = Message("nested", [("since", "\(since.microseconds)")] + party.fields)
        return String(decoding: message.bytes.dropLast(), as: UTF8.self)
    }

    fileprivate init?(line: Substring) {
        var reader = MessageReader()
        reader.append(ArraySlice(line.utf8) + [UInt8(ascii: "\n")])
        guard let message = try? reader.next(), let party = Party(message), let since = message.integer("since") else {
            return nil
        }
        self.init(since: Timestamp(since), party: party)
    }
}

extension QueueStatus.Waiter {
    fileprivate var message: Message {
        Message(
            "waiter",
            [("since", "\(since.microseconds)"), ("stopped", isStopped ? "1" : "0"), ("cut-off", isCutOff ? "1" : "0")]
                + ticket.fields + party.fields)
    }

    fileprivate init?(_ message: Message) {
        guard let ticket = Ticket(message), let party = Party(message), let since = message.integer("since") else {
            return nil
        }
        self.init(
            ticket: ticket, since: Timestamp(since), party: party, isStopped: message.flag("stopped"),
            isCutOff: message.flag("cut-off"))
    }
}
