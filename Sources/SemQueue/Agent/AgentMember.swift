internal import Glibc

/// One client's membership of one queue: waits and holds for it, as long as its lease lasts, whether it is
/// connected just now or not.
///
/// The waiting is done by a thread, because it blocks in the kernel; everything else here.
final class AgentMember {
    private let path: String
    private let request: Request
    private let held: Nesting
    private var client: Stream?
    private let waiting: AgentWaiting
    private var lease: AgentLease
    private let rendezvous: Rendezvous?
    private let secret = Secret.random()
    /// Those who have come to the rendezvous and have not shown the secret yet.
    private var visitors: [Visitor] = []
    private var outcome: Outcome?
    private var nested: Nesting.Found?
    private var isRemoved = false
    private var nextInspection = Duration.zero
    private let alarm = Alarm()

    private struct Visitor {
        var stream: Stream
        var until: Duration
    }

    /// - Parameter client: who has asked.
    /// - Throws: ``SemaphoreError`` where the request makes no sense.
    init(_ message: Message, _ client: Stream) throws {
        guard let path = message["path"], let length = message.duration("lease"), ClientLease.lengths.contains(length)
        else {
            throw SemaphoreError(.usage, "acquire: wants a path and a lease of 5 to 60 seconds")
        }
        var request = try Request(message)
        request.lease = length
        request.party = Party(message)
        self.path = path
        self.request = request
        held = Nesting(environment: message["held"])
        self.client = client
        lease = AgentLease(length: length, at: .sinceBoot())
        waiting = try AgentWaiting(showsEachSecond: message.flag("watch"))
        rendezvous = Rendezvous(name: Secret.random().text)
    }

    /// Returns when the client has left, or there is nothing left that it could hold.
    /// - Returns: whether the conversation with the client goes on.
    func run() throws -> Bool {
        defer {
            rendezvous?.close()
            for visitor in visitors { visitor.stream.close() }
        }
        if let found = try held.permit(on: path, anyFilesystem: request.anyFilesystem) { nested = found }
        tellWhoWeAre()
        if let nested { send(Message("granted", grantFields(nested))) } else { try waiting.start(path, request) }
        while true {
            for message in waiting.takeMessages() { send(message) }
            if outcome == nil, let result = waiting.result() {
                if let goesOn = try take(result) { return goesOn }
            }
            if let goesOn = listen() { return goesOn }
            receiveVisitors()
            if let goesOn = try keep() { return goesOn }
            awaitDescriptors(pollEvents, alarm, .milliseconds(200))
            client?.flush()
            waiting.clearWake()
        }
    }

    private var pollEvents: [pollfd] {
        var events = client?.pollEvents ?? []
        events += [waiting.pollEvent] + visitors.flatMap { $0.stream.pollEvents }
        if let rendezvous { events.append(pollfd(fd: rendezvous.descriptor, events: Int16(POLLIN), revents: 0)) }
        return events
    }

    private func send(_ message: Message) { client?.send(message) }

    /// By what the client finds this agent again after a cut.
    private func tellWhoWeAre() {
        guard let rendezvous else { return send(Message("accepted")) }
        send(Message("accepted", [("agent", rendezvous.name), ("secret", secret.text)]))
    }

    // MARK: what the queue says

    /// - Returns: whether the conversation goes on, where this membership has ended; nil where it stands.
    private func take(_ result: Result<Outcome, any Error>) throws -> Bool? {
        switch result {
        case .failure(let error as SemaphoreError): send(error.asMessage)
        case .failure(let error): throw error
        case .success(let outcome):
            if case .granted(let grant as LocalGrant) = outcome {
                self.outcome = outcome
                renew(grant)
                send(Message("granted", grantFields(grant)))
                return nil
            }
            send(outcome.asMessage)
        }
        return client != nil
    }

    private func grantFields(_ grant: LocalGrant) -> [(name: String, value: String)] {
        grant.ticket.fields + [
            ("slot", "\(grant.slot)"), ("token", "\(grant.token)"), ("queue", String(grant.queue, radix: 16)),
        ]
    }

    private func grantFields(_ found: Nesting.Found) -> [(name: String, value: String)] {
        found.held.ticket.fields + [
            ("slot", "\(found.slot)"), ("token", "\(found.held.token)"),
            ("queue", String(found.held.queue, radix: 16)), ("nested", "1"),
        ]
    }

    private var grant: LocalGrant? {
        if case .granted(let grant as LocalGrant) = outcome { grant } else { nil }
    }

    // MARK: what the client says

    /// - Returns: as ``take(_:)``.
    private func listen() -> Bool? {
        while let client {
            switch client.receive() {
            case .nothing: return nil
            case .end, .garbage:
                cutOff()
                return nil
            case .message(let message):
                if message.verb == "goodbye" {
                    end(asLost: false)
                    send(Message("bye"))
                    return true
                }
                hear(message)
            }
        }
        return nil
    }

    private func hear(_ message: Message) {
        lease.hear(at: .sinceBoot())
        waiting.stand(inLine: true)
        if let grant { renew(grant) }
        switch message.verb {
        case "beat": send(Message("beat", [("number", message["number"] ?? "0")]))
        case "take": waiting.confirmed(message.integer("number") ?? 0)
        default: break
        }
    }

    private func renew(_ grant: LocalGrant) {
        let left = lease.end - .sinceBoot()
        grant.renewLease(expires: Timestamp(Timestamp.now().microseconds + left.nanoseconds / 1000))
    }

    // MARK: cut off and back

    private func cutOff() {
        client?.close()
        client = nil
        waiting.stand(inLine: false)
    }

    private func receiveVisitors() {
        let now = Duration.sinceBoot()
        while visitors.count < 8, let descriptor = rendezvous?.accept() {
            visitors.append(Visitor(stream: Stream(input: descriptor, output: descriptor), until: now + .seconds(10)))
        }
        for (index, visitor) in visitors.enumerated().reversed() {
            switch visitor.stream.receive() {
            case .nothing:
                guard now > visitor.until else { continue }
                visitor.stream.close()
            case .end, .garbage: visitor.stream.close()
            case .message(let message):
                if message.verb == "resume", secret.matches(message["secret"] ?? "") {
                    resume(visitor.stream, message)
                } else {
                    visitor.stream.send(Message("error", [("code", "gone"), ("text", "the secret is another's")]))
                    visitor.stream.close()
                }
            }
            visitors.remove(at: index)
        }
    }

    /// The newest connection is the client's; one before it is told.
    private func resume(_ stream: Stream, _ message: Message) {
        client?.send(Message("superseded"))
        client?.close()
        client = stream
        hear(message)
        send(Message("resumed", [("number", message["number"] ?? "0")]))
        for message in waiting.standingMessages() { send(message) }
        if let grant {
            send(Message("granted", grantFields(grant)))
        } else if let nested {
            send(Message("granted", grantFields(nested)))
        }
        isRemoved = false
    }

    // MARK: the lease

    /// - Returns: as ``take(_:)``.
    private func keep() throws -> Bool? {
        let now = Duration.sinceBoot()
        if lease.isOver(at: now) || (client == nil && rendezvous == nil && grant == nil) {
            end(asLost: true)
            send(Message("error", [("code", "gone"), ("text", "nothing was heard for the length of the lease")]))
            return false
        }
        if lease.isSilent(at: now) { waiting.stand(inLine: false) }
        guard let grant, !isRemoved, now >= nextInspection else { return nil }
        nextInspection = now + .milliseconds(500)
        if let loss = grant.loss() {
            isRemoved = true
            send(loss.asMessage)
        }
        return nil
    }

    /// Gives back whatever is held or waited for.
    private func end(asLost: Bool) {
        waiting.stop()
        if outcome == nil, case .success(let outcome)? = waiting.result() { self.outcome = outcome }
        grant?.release(asLost: asLost)
        nested?.nested.release()
        outcome = nil
        nested = nil
    }
}

extension Outcome {
    /// For all but a grant.
    fileprivate var asMessage: Message {
        switch self {
        case .granted: Message("granted")
        case .busy(.held): Message("busy")
        case .busy(.paused(let reason, let by)): Message("paused", [("by", by), ("reason", reason)])
        case .busy(.full): Message("full")
        case .timedOut: Message("timed-out")
        case .removed(let by, let reason): Message("removed", [("by", by), ("reason", reason)])
        case .cancelled: Message("cancelled")
        }
    }
}

extension PermitLoss {
    fileprivate var asMessage: Message {
        switch self {
        case .fileReplaced: Message("lost")
        case .cutOff: Message("lost")
        case .released(let by, let reason, let grace):
            Message("removed", [("by", by), ("reason", reason), ("grace", "\(grace.nanoseconds / 1_000_000)")])
        }
    }
}
