/// Answers to requests that are done at once.
struct AgentAnswers {
    /// Of the program that the agent is.
    let version: String
    /// The only one whose queues its clients may use; empty: all are.
    let folder: String
    /// Kept until something else is asked for.
    private let placed = Guarded<QueueProbe.Placed?>(nil)

    init(version: String, folder: String) { (self.version, self.folder) = (version, folder) }

    /// - Returns: messages of which all but the last go on.
    /// - Throws: ``SemaphoreError``, which is the answer then.
    func to(_ request: Message) throws -> [Message] {
        if request.verb != "look-for-probe" { placed.withLock { $0 = nil } }
        if request.verb == "about" { return [about] }
        guard let path = request["path"] else { throw Self.unknown(request) }
        switch request.verb {
        case "status": return try QueueStatus(path: path).messages
        case "identify":
            let observer = MakingObserver()
            let queue = try Member.identify(path, Request(request), alarm: Alarm(), observer: observer)
            return [Message("queue-id", queue.fields + observer.fields)]
        case "place-probe":
            let probe = QueueProbe(area: request.integer("area") ?? -1, offset: request.integer("offset") ?? -1)
            let new = try probe.place(on: path)
            placed.withLock { $0 = new }
            return [Message("placed")]
        case "look-for-probe":
            let found = try QueueProbe.look(in: request.integer("area") ?? -1, of: path)
            return [Message("probe", found.map { [("offset", "\($0)")] } ?? [])]
        case "set": return [try Self.set(path, request)]
        case "remove": return [try Self.remove(path, request)]
        case "look-for":
            let isAlive = try Administration(path, create: false).isAlive(Self.ticket(request))
            return [Message("found", [("alive", isAlive ? "1" : "0")])]
        case "history": return try Self.history(path)
        case "doctor": return Diagnosis.of(path).map(\.message) + [Message("end")]
        default: throw Self.unknown(request)
        }
    }

    private static func unknown(_ request: Message) -> SemaphoreError {
        SemaphoreError(
            .usage, "the host's semq doesn't know the request ‘\(request.verb)’; update it")
    }

    // MARK: the host

    private var about: Message {
        Message(
            "semq",
            [
                ("version", version), ("host", LocalHost.name), ("user", LocalHost.user),
                ("restricted", folder), ("now", "\(Timestamp.now().microseconds)"),
                ("lease-from", "\(ClientLease.lengths.lowerBound.nanoseconds / 1_000_000)"),
                ("lease-to", "\(ClientLease.lengths.upperBound.nanoseconds / 1_000_000)"),
            ])
    }

    // MARK: the queue as a whole

    private static func set(_ path: String, _ request: Message) throws -> Message {
        let concurrency = request["concurrency"].map { Int($0) ?? -1 }
        // Before a queue is made for it.
        if let concurrency, !Request.concurrencies.contains(concurrency) {
            throw SemaphoreError(.usage, "\(path): a concurrency of \(concurrency): wants \(Request.concurrencyWanted)")
        }
        let administration = try Administration(
            path, create: concurrency != nil, anyFilesystem: request.flag("any-filesystem"), by: request["by"]?.bounded)
        let change: QueueChange
        if let concurrency {
            change = try administration.setConcurrency(concurrency)
        } else if let reason = request["pause"] {
            change = try administration.pause(reason: reason)
        } else if request.flag("resume") {
            change = try administration.resume()
        } else {
            throw SemaphoreError(.usage, "\(path): set: wants a concurrency, a pause or an end of one")
        }
        var fields = [("concurrency", "\(change.concurrency)"), ("holding", "\(change.holding)")]
        if change.made != nil { fields.append(("place", QueueStatus.absolute(path))) }
        return Message("changed", fields)
    }

    private static func remove(_ path: String, _ request: Message) throws -> Message {
        let subject = try Administration(path, create: false, by: request["by"]?.bounded).remove(
            ticket: ticket(request), reason: request["reason"] ?? "(no reason given)",
            grace: request.duration("grace") ?? .seconds(5))
        return switch subject {
        case .holder(let party): Message("told-holder", party.fields)
        case .waiter(let party): Message("told-waiter", party.fields)
        case nil: Message("nobody")
        }
    }

    private static func ticket(_ request: Message) throws -> Int64 {
        guard let number = request.integer("ticket"), number > 0 else {
            throw SemaphoreError(.usage, "\(request.verb): wants the number of a ticket")
        }
        return number
    }

    private static func history(_ path: String) throws -> [Message] {
        var messages: [Message] = []
        var page: [UInt8] = []
        for line in try LocalSemaphore(path).history() {
            page += Array(line.utf8) + [UInt8(ascii: "\n")]
            while page.count > Message.longestBody {
                messages.append(Message("lines", body: Array(page.prefix(Message.longestBody))))
                page.removeFirst(Message.longestBody)
            }
        }
        if !page.isEmpty { messages.append(Message("lines", body: page)) }
        return messages + [Message("end")]
    }
}

/// Learns whether a queue was made.
private final class MakingObserver: WaitObserver {
    private(set) var fields: [(name: String, value: String)] = []

    func made(_ place: String, concurrency: Int) { fields = [("place", place), ("concurrency", "\(concurrency)")] }
}
