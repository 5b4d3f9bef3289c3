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
    /// How it ended, once it is over; nil where the client has heard of that.
    var lastWord: LastWord? { get }
    /// Ends the task, if it isn't over.
    /// - Parameter asLost: the lease has run out.
    func end(asLost: Bool)
    /// The client has left. Never blocks for others.
    /// - Returns: false where somebody runs under it still, and it is to be asked again.
    func tryEnd() -> Bool
}

extension AgentTask {
    func renewed(until end: Duration) {}
    var lastWord: LastWord? { nil }
    func tryEnd() -> Bool {
        end(asLost: false)
        return true
    }
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
    private var stage = Stage.running

    private enum Stage {
        case running
        /// The client has said goodbye, and somebody runs nested in its turn still.
        case leaving(LastWord)
        /// There is nothing left but to be sure that the client has heard.
        case over(LastWord)
    }

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
            if let goesOn = try advance() ?? listen() { return goesOn }
            receiveVisitors()
            lookAfterName()
            if let goesOn = keep() { return goesOn }
            awaitDescriptors(pollEvents, alarm, isBehind ? .zero : pause)
            client?.flush()
        }
    }

    /// - Returns: whether the conversation goes on, where there is nothing left to do; nil where there is.
    private func advance() throws -> Bool? {
        switch stage {
        case .running:
            let (messages, isOver) = try task.advance()
            for message in messages { send(message) }
            guard isOver else { return nil }
            guard let word = task.lastWord else { return client != nil }
            say(word)
        case .leaving(let bye):
            guard task.tryEnd() else {
                // It is told that its turn is over: from here on it is this agent that keeps the slot.
                if lease.isSilent(at: .sinceBoot()) { renew() }
                return nil
            }
            say(bye)
        case .over: break
        }
        return isForgotten ? false : nil
    }

    /// Whether nobody will come and ask.
    private var isForgotten: Bool {
        guard client == nil, case .over(let word) = stage else { return false }
        return !word.isKept || rendezvous == nil
    }

    private func say(_ word: LastWord) {
        send(word.message)
        stage = .over(word)
    }

    private func renew() {
        lease.hear(at: .sinceBoot())
        task.renewed(until: lease.end)
    }

    /// For how long to wait for something to happen. Whoever runs nested ends without a word to us.
    private var pause: Duration { if case .leaving = stage { .milliseconds(20) } else { .milliseconds(200) } }

    private var pollEvents: [pollfd] {
        // Once it is over nobody hears what the task has to say, and it would keep us awake.
        let isRunning = if case .running = stage { true } else { false }
        var events = (client?.pollEvents ?? []) + (isRunning ? task.pollEvents : [])
        events += visitors.all.flatMap { $0.visitor.pollEvents }
        // Where there is no room it would be ready, and we awake, without end.
        if let rendezvous, visitors.hasRoom(at: .sinceBoot()) {
            events.append(pollfd(fd: rendezvous.descriptor, events: Int16(POLLIN), revents: 0))
        }
        return events
    }

    private func send(_ message: Message) { client?.send(message.fitting) }

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
                if let goesOn = take(message, from: client) { return goesOn }
            }
        }
        isBehind = client != nil
        return nil
    }

    private func take(_ message: Message, from client: Stream) -> Bool? {
        guard case .over(let word) = stage else {
            if message.verb == "goodbye" { return leave(message) }
            hear(message)
            return nil
        }
        switch word.hear(message) {
        case .stay: hear(message)
        case .bye: return leave(message)
        case .end: return true
        case .endBefore:
            client.putBack(message)
            return true
        }
        return nil
    }

    /// The client has said goodbye, perhaps for the second time.
    private func leave(_ goodbye: Message) -> Bool? {
        let bye = LastWord(goodbye: goodbye)
        guard task.tryEnd() else {
            stage = .leaving(bye)
            renew()
            send(Message("lasts"))
            return nil
        }
        say(bye)
        return bye.isKept ? nil : true
    }

    private func hear(_ message: Message) {
        renew()
        task.client(isThere: true)
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
        // It may have left, as it said.
        if case .running = stage { task.client(isThere: false) }
        rendezvous?.lookAfterName()
    }

    /// As often as it wakes anyway, and when it is about to be looked for.
    private func lookAfterName() {
        let now = Duration.sinceBoot()
        guard now - lookedAfterName >= .milliseconds(200) else { return }
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
        switch stage {
        case .running, .leaving: for message in task.standing(for: message) { send(message) }
        // Whoever has said goodbye says it again.
        case .over(let word): if word.message.verb != "bye" { send(word.message) }
        }
    }

    // MARK: the lease

    /// - Returns: whether the conversation goes on, where the lease is over; nil where it stands.
    private func keep() -> Bool? {
        let now = Duration.sinceBoot()
        switch stage {
        case .running: break
        case .leaving: return nil
        case .over: return lease.isOver(at: now) ? client != nil : nil
        }
        if lease.isSilent(at: now) { task.client(isThere: false) }
        // Where nobody can find us again, a cut is the end; what is held stays until the lease's, for what still runs.
        guard lease.isOver(at: now) else { return nil }
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
