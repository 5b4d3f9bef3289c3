internal import Glibc

/// One client's membership of one queue: waits and holds for it.
///
/// The waiting is done by a thread, because it blocks in the kernel; everything else by the session's.
final class AgentMember: AgentTask {
    private let path: String
    private let request: Request
    private let held: Nesting
    private let isRestricted: Bool
    private let waiting: AgentWaiting
    private var grant: LocalGrant?
    private var nested: Nesting.Found?
    private var isRemoved = false
    private var isClientThere = true
    private var leaseEnd = Duration.sinceBoot()
    private var nextInspection = Duration.zero
    private let confirms: Bool
    private(set) var lastWord: LastWord?

    /// - Throws: ``SemaphoreError`` where the request makes no sense.
    /// - Parameter isRestricted: the client's key can only take turns; for it no turn counts that needs no secret.
    init(_ message: Message, isRestricted: Bool) throws(SemaphoreError) {
        guard let path = message["path"] else { throw SemaphoreError(.usage, "acquire: wants a path") }
        var request = try Request(message)
        request.lease = message.duration("lease")
        request.party = Party(message)
        request.isProved = message.flag("secrets")
        self.path = path
        self.request = request
        confirms = message.flag("confirms")
        held = Nesting(environment: message["held"], secrets: message["proof"])
        self.isRestricted = isRestricted
        waiting = try AgentWaiting(
            showsEachSecond: message.flag("watch"), lease: request.lease ?? ClientLease.standard)
    }

    func start() throws {
        var wanted = Nesting.Wanted()
        wanted.anyFilesystem = request.anyFilesystem
        wanted.concurrency = request.concurrency
        wanted.needsSecret = isRestricted
        wanted.party = request.behind
        do {
            nested = try held.permit(on: path, wanted)
        } catch let error as SemaphoreError
            where error.code == .permission && error.systemError == 0 && !request.isProved
        {
            throw SemaphoreError(
                .permission,
                "\(path): whoever runs under the turn around this command has to prove it, which your semq is too old to do; "
                    + "update it")
        }
        if let nested {
            waiting.tell([nested.message])
        } else {
            try waiting.start(path, request)
        }
    }

    var pollEvents: [pollfd] { [waiting.pollEvent] }

    func advance() throws -> (messages: [Message], isOver: Bool) {
        waiting.clearWake()
        var messages = waiting.takeMessages()
        switch waiting.result() {
        case nil: break
        case .failure(let error as SemaphoreError):
            lastWord = LastWord(outcome: error.asMessage, confirms: confirms)
            return (messages, true)
        case .failure(let error): throw error
        case .success(.granted(let grant as LocalGrant)):
            self.grant = grant
            recordLease()
            messages.append(grant.message)
        case .success(let outcome):
            lastWord = LastWord(outcome: outcome.asMessage, confirms: confirms)
            return (messages, true)
        }
        if let loss = lossSinceLastLook() { messages.append(loss.asMessage) }
        return (messages, false)
    }

    private func lossSinceLastLook() -> PermitLoss? {
        let now = Duration.sinceBoot()
        guard let grant, !isRemoved, now >= nextInspection else { return nil }
        nextInspection = now + .milliseconds(500)
        let loss = grant.loss()
        isRemoved = loss != nil
        return loss
    }

    func take(_ message: Message) {
        switch message.verb {
        case "take": waiting.confirmed(message.integer("number") ?? 0)
        case "remark": grant?.remark(message["text"] ?? "")
        default: break
        }
    }

    func client(isThere: Bool) {
        waiting.stand(inLine: isThere)
        guard isThere != isClientThere else { return }
        isClientThere = isThere
        recordLease()
    }

    func renewed(until end: Duration) {
        leaseEnd = end
        recordLease()
    }

    private func recordLease() {
        let left = leaseEnd - .sinceBoot()
        grant?.recordLease(
            expires: Timestamp(Timestamp.now().microseconds + left.nanoseconds / 1000), isSilent: !isClientThere)
    }

    func standing(for resume: Message) -> [Message] {
        isRemoved = false
        return waiting.standingMessages() + [grant?.message ?? nested?.message].compactMap { $0 }
    }

    func end(asLost: Bool) {
        stopWaiting()
        grant?.release(asLost: asLost)
        forget()
    }

    func tryEnd() -> Bool {
        stopWaiting()
        guard grant?.tryRelease() ?? true else { return false }
        forget()
        return true
    }

    private func stopWaiting() {
        waiting.stop()
        if case .success(.granted(let grant as LocalGrant))? = waiting.result() { self.grant = grant }
    }

    private func forget() {
        nested?.nested.release()
        grant = nil
        nested = nil
    }
}

// MARK: as messages

extension LocalGrant {
    fileprivate var message: Message {
        Message(
            "granted",
            ticket.fields + [("slot", "\(slot)"), ("token", "\(token)"), ("queue", String(queue, radix: 16))]
                + (prove().map { [("secret", $0)] } ?? []))
    }
}

extension Nesting.Found {
    fileprivate var message: Message {
        Message(
            "granted",
            held.ticket.fields + [
                ("slot", "\(slot)"), ("token", "\(held.token)"), ("queue", String(held.queue, radix: 16)),
                ("nested", "1"),
            ] + (held.secret.map { [("secret", $0)] } ?? []))
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
        case .fileReplaced, .cutOff: Message("lost")
        case .released(let by, let reason, let grace):
            Message("removed", [("by", by), ("reason", reason), ("grace", "\(grace.nanoseconds / 1_000_000)")])
        }
    }
}
