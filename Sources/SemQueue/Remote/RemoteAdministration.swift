/// A queue on another host, changed through its agent. It is the agent that opens the file, at each request.
struct RemoteAdministration: QueueAdministration {
    private let semaphore: RemoteSemaphore
    private let anyFilesystem: Bool

    init(_ semaphore: RemoteSemaphore, anyFilesystem: Bool) {
        self.semaphore = semaphore
        self.anyFilesystem = anyFilesystem
    }

    func setConcurrency(_ concurrency: Int) throws -> QueueChange { try change("concurrency", "\(concurrency)") }

    func pause(reason: String) throws -> QueueChange { try change("pause", reason.bounded) }

    func resume() throws -> QueueChange { try change("resume", "1") }

    private func change(_ what: String, _ value: String) throws -> QueueChange {
        let answer = try ask("set", [(what, value), ("any-filesystem", anyFilesystem ? "1" : "0")])
        guard answer.verb == "changed", let concurrency = answer.count("concurrency"),
            let holding = answer.count("holding")
        else { throw nonsense }
        return QueueChange(
            made: answer["place"].map { "\(semaphore.host.name):\($0)" }, concurrency: concurrency, holding: holding)
    }

    func remove(ticket number: Int64, reason: String, grace: Duration) throws -> QueueMember? {
        let answer = try ask(
            "remove",
            [("ticket", "\(number)"), ("reason", reason.bounded), ("grace", "\(grace.nanoseconds / 1_000_000)")])
        switch (answer.verb, Party(answer)) {
        case ("told-holder", let party?): return .holder(party)
        case ("told-waiter", let party?): return .waiter(party)
        case ("nobody", _): return nil
        default: throw nonsense
        }
    }

    func isAlive(_ number: Int64) throws -> Bool {
        let answer = try ask("look-for", [("ticket", "\(number)")])
        guard answer.verb == "found" else { throw nonsense }
        return answer.flag("alive")
    }

    private func ask(_ verb: String, _ fields: [(name: String, value: String)]) throws -> Message {
        let by = ("by", "\(LocalHost.user)@\(LocalHost.name)")
        return try semaphore.ask(Message(verb, fields + [by])).last!
    }

    private var nonsense: SemaphoreError {
        SemaphoreError(.unreachable, "\(semaphore.name): the host's semq answers what this one doesn't understand")
    }
}
