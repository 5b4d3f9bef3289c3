internal import Glibc

/// What an agent does for a client as long as its lease lasts.
protocol AgentTask: AnyObject {
    func start() throws
    /// Beside the client's connection.
    var pollEvents: [pollfd] { get }
    /// What has happened meanwhile.
    /// - Returns: messages for the client, and whether the task is over.
    func advance() throws -> (messages: [Message], isOver: Bool)
    /// Something that the client has said.
    func take(_ message: Message)
    /// Whether the client is heard of just now.
    func client(isThere: Bool)
    /// The lease was prolonged until then, on CLOCK_BOOTTIME.
    func renewed(until end: Duration)
    /// What a client that comes back after a cut has to know.
    func standing(for resume: Message) -> [Message]
    /// Ends the task, if it isn't over.
    /// - Parameter asLost: the lease has run out.
    func end(asLost: Bool)
}

extension AgentTask {
    func renewed(until end: Duration) {}
}

/// A client's connection to its agent, and the lease that outlives it: whoever shows the secret goes on.
final class AgentSession {
    private var client: Stream?
    /// It may have said more than was heard yet.
    private var isBehind = false
    private var lease: AgentLease
    private var rendezvous: Rendezvous?
    private var lookedAfterName = Duration.zero
    private let secret = Secret.random()
    private var visitors = Visitors<Stream>()
    private let task: any AgentTask
    private let alarm = Alarm()

    /// - Parameters:
    ///   - message: the request, which names the lease's length.
    ///   - client: who has asked.
    /// - Throws: ``SemaphoreError`` where the request makes no sense.
    init(_ message: Message, _ client: Stream, _ task: any AgentTask) throws(SemaphoreError) {
        guard let length = message.duration("lease"), ClientLease.lengths.contains(length) else {
            throw SemaphoreError(.usage, "\(message.verb): wants a lease of 5 to 60 seconds")
        }
        self.client = client
        self.task = task
        lease = AgentLease(length: length, at: .sinceBoot())
        rendezvous = Rendezvous()
    }

    /// Returns when the client has left, or the task is over.
    /// - Returns: whether the conversation with the client goes on.
    func run() throws -> Bool {
        defer {
            rendezvous?.close()
            for (stream, _) in visitors.all { stream.close() }
        }
        tellWhoWeAre()
        task.renewed(until: lease.end)
        try task.start()
        while true {
            let (messages, isOver) = try task.advance()
            for message in messages { send(message) }
            if isOver { return client != nil }
            if let goesOn = listen() { return goesOn }
            receiveVisitors()
            lookAfterName()
            guard keep() else { return false }
            awaitDescriptors(pollEvents, alarm, isBehind ? .zero : Self.pause)
            client?.flush()
        }
    }

    /// How long it does nothing at the most.
    private static let pause = Duration.milliseconds(200)

    private var pollEvents: [pollfd] {
        var events = (client?.pollEvents ?? []) + task.pollEvents + visitors.all.flatMap { $0.visitor.pollEvents }
        // Where there is no room it would be ready, and we awake, without end.
        if let rendezvous, visitors.hasRoom(at: .sinceBoot()) {
            events.append(pollfd(fd: rendezvous.descriptor, events: Int16(POLLIN), revents: 0))
        }
        return events
    }

    private func send(_ message: Message) { client?.send(message) }

    /// By what the client finds this agent again after a cut.
    private func tellWhoWeAre() {
        guard let rendezvous else { return send(Message("accepted")) }
        send(Message("accepted", [("agent", rendezvous.name.text), ("secret", secret.text)]))
    }

    // MARK: what the client says

    /// - Returns: whether the conversation goes on, where this session has ended; nil where it stands.
    private func listen() -> Bool? {
        // Whoever never stops talking is not listened to without end: there is a queue to look after.
        isBehind = false
        for _ in 0..<256 {
            guard let client else { break }
            switch client.receive() {
            case .nothing: return nil
            case .end, .garbage:
                cutOff()
                return nil
            case .message(let message):
                if message.verb == "goodbye" {
                    task.end(asLost: false)
                    send(Message("bye"))
                    return true
                }
                hear(message)
            }
        }
        isBehind = client != nil
        return nil
    }

    private func hear(_ message: Message) {
        lease.hear(at: .sinceBoot())
        task.client(isThere: true)
        task.renewed(until: lease.end)
        if message.verb == "beat" {
            send(Message("beat", [("number", message["number"] ?? "0")]))
        } else {
            task.take(message)
        }
    }

    // MARK: cut off and back

    private func cutOff() {
        client?.close()
        client = nil
        task.client(isThere: false)
        rendezvous?.lookAfterName()
    }

    /// As often as it wakes anyway, and when it is about to be looked for.
    private func lookAfterName() {
        let now = Duration.sinceBoot()
        guard now - lookedAfterName >= Self.pause else { return }
        lookedAfterName = now
        rendezvous?.lookAfterName()
    }

    private func receiveVisitors() {
        let now = Duration.sinceBoot()
        // No more at a time than there is room for: there is a queue to look after.
        for _ in 0..<Visitors<Stream>.most where visitors.hasRoom(at: now) {
            guard let descriptor = rendezvous?.accept() else { break }
            visitors.admit(Stream(input: descriptor, output: descriptor), at: now)?.close()
        }
        let heard = visitors.hear(at: now, { $0.firstWord }, dismiss: { $0.close() })
        for (stream, message) in heard {
            if message.verb == "resume", secret.matches(message["secret"] ?? "") {
                resume(stream, message)
            } else {
                stream.send(Message("error", [("code", "gone"), ("text", "the secret is another's")]))
                stream.close()
            }
        }
    }

    /// The newest connection is the client's; one before it is told.
    private func resume(_ stream: Stream, _ message: Message) {
        client?.send(Message("superseded", [("by", message["by"] ?? "")]))
        client?.close()
        client = stream
        hear(message)
        send(Message("resumed", [("number", message["number"] ?? "0")]))
        for message in task.standing(for: message) { send(message) }
    }

    // MARK: the lease

    /// - Returns: false when it is over.
    private func keep() -> Bool {
        let now = Duration.sinceBoot()
        if lease.isSilent(at: now) { task.client(isThere: false) }
        // Where nobody can find us again, a cut is the end; what is held stays until the lease's, for what still runs.
        guard lease.isOver(at: now) else { return true }
        task.end(asLost: true)
        send(Message("error", [("code", "gone"), ("text", "nothing was heard for the length of the lease")]))
        return false
    }
}

extension Stream {
    fileprivate var firstWord: Visitors<Stream>.Word<Message> {
        switch receive() {
        case .message(let message): .said(message)
        case .nothing: .nothing
        case .end, .garbage: .left
        }
    }
}
