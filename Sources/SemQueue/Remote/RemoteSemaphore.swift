internal import Glibc

/// A queue on another host, reached through its agent.
package final class RemoteSemaphore: NamedSemaphore {
    /// As it was named: `user@host:path`.
    package let name: String
    let path: String
    /// The path as `semq` there takes it, whatever stands in it.
    package var localName: String {
        if !path.hasPrefix("-"), case .local? = try? Address(path) { path } else { "./\(path)" }
    }
    package let host: RemoteHost
    let options: Options

    package struct Options: Sendable {
        /// The lease's length.
        package var lease = ClientLease.standard
        /// How long to go on trying a host that can't be reached; nil fails at once.
        package var retryConnect: Duration?
        /// The command goes on when the lock is lost, and may overlap with another's.
        package var warnsOnly = false
        /// The turn is held for a command, which is ended when the lock is lost.
        package var hasCommand = true
        /// How the host is reached is told.
        package var isVerbose = false
        /// The permits of commands around this one.
        package var held = Nesting(permits: [])

        package init() {}

        package static let leases = ClientLease.lengths
    }

    /// The command goes on when the lock is lost.
    package var warnsOnly: Bool { options.warnsOnly }

    package init(name: String, path: String, host: RemoteHost, options: Options) {
        self.name = name
        self.path = path
        self.host = host
        self.options = options
    }

    package func identify(_ request: Request, alarm: Alarm, observer: any WaitObserver) throws -> QueueIdentity {
        let fields = request.fields.filter { $0.name != "limit" }
        let deadline = request.limit.flatMap { $0 == .zero ? nil : Duration.monotonic() + $0 }
        let conversation = try converse(alarm, deadline: deadline, observer)
        let answer = try ask(Message("identify", fields), of: conversation, alarm, within: .seconds(30)).first
        guard let queue = answer.flatMap(QueueIdentity.init) else {
            throw SemaphoreError(.unreachable, "\(name): the host's semq doesn't say which queue this is")
        }
        if let answer, answer["place"] != nil { tell(observer, made: answer) }
        return queue
    }

    /// The agent keeps it until it is asked for something else.
    package func place(_ probe: QueueProbe) throws -> any Sendable {
        _ = try ask(Message("place-probe", [("area", "\(probe.area)"), ("offset", "\(probe.offset)")]))
        return ()
    }

    package func sees(_ probe: QueueProbe) throws -> Bool {
        try ask(Message("look-for-probe", [("area", "\(probe.area)")])).first?.integer("offset") == probe.offset
    }

    /// Host and path; the host by the name by which it is reached from here.
    func tell(_ observer: any WaitObserver, made message: Message) {
        let place = message["place"].map { "\(host.name)\($0.drop { $0 != ":" })" }
        observer.made(place ?? name, concurrency: message.count("concurrency") ?? 1)
    }

    package func acquire(_ request: Request, alarm: Alarm, observer: any WaitObserver) throws -> Outcome {
        do {
            return try RemoteMember(self, request, alarm: alarm, observer: observer).run()
        } catch let failure as Gate.Failure {
            return failure == .interrupted ? .cancelled : .timedOut
        }
    }

    package func status() throws -> QueueStatus { try status(Alarm(), isAttended: true) }

    /// - Parameter isAttended: somebody is there to answer questions, and may take as long as it takes.
    func status(_ alarm: Alarm, isAttended: Bool) throws -> QueueStatus {
        var assembly = QueueStatus.Assembly()
        for message in try ask(Message("status"), alarm, isAttended: isAttended) {
            if let status = assembly.take(message, semaphore: name) { return status }
        }
        throw SemaphoreError(.unreachable, "\(name): the host's semq doesn't tell its state")
    }

    package func administration(create: Bool, anyFilesystem: Bool) -> any QueueAdministration {
        RemoteAdministration(self, anyFilesystem: anyFilesystem)
    }

    package func history() throws -> [String] {
        let bytes = try ask(Message("history")).flatMap { $0.verb == "lines" ? $0.body : [] }
        return bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    }

    package var identityAtHand: QueueIdentity? { nil }

    package var statusAtHand: QueueStatus? { host.hasIdle ? try? status() : nil }

    /// What its host is told of permits around.
    var nesting: [(name: String, value: String)] { options.held.fields(for: host.identity) }

    /// How far anybody has ever come on its host.
    package var reached: RemoteHost.Reach { host.reached }

    // MARK: conversations

    /// For somebody who waits, and may be stopped meanwhile.
    func converse(_ alarm: Alarm, deadline: Duration?, _ observer: any WaitObserver) throws -> Conversation {
        observer.blocks(true)
        defer { observer.blocks(false) }
        return try converse(alarm, deadline: deadline) { observer.tells($0) }
    }

    /// An open conversation: one that was kept, or a new one.
    /// - Throws: ``SemaphoreError``; `Gate.Failure` when the alarm rings or the deadline passes.
    func converse(_ alarm: Alarm, deadline: Duration?, _ tell: (String) -> Void = { _ in }) throws -> Conversation {
        if let kept = host.takeIdle() { return kept }
        let start = Duration.monotonic()
        var isTold = false
        while true {
            do {
                let conversation = try host.connect(alarm, deadline: deadline, tell)
                for note in conversation.notes where options.isVerbose || note.hasPrefix(LinkProcess.warning) {
                    tell(note)
                }
                return conversation
            } catch let error as SemaphoreError where error.code == .unreachable {
                // A host that is crowded just now is not one that can't be reached.
                let isCrowded = error.systemError == EAGAIN
                let limit = max(options.retryConnect ?? .zero, isCrowded ? Self.crowdLasts : .zero)
                let rest = start + limit - .monotonic()
                guard rest > .zero else { throw error }
                if !isTold { tell("\(error.message) (trying again for \(limit.components.seconds) s)") }
                isTold = true
                alarm.sleep(min(rest, .milliseconds(Int64.random(in: isCrowded ? 200...1500 : 1500...2500))))
                if alarm.isRung { throw Gate.Failure.interrupted }
                if let deadline, .monotonic() >= deadline { throw Gate.Failure.timedOut }
            }
        }
    }

    private static let crowdLasts = Duration.seconds(30)

    /// Asks for what is answered at once.
    /// - Parameter request: what is asked of the queue; its path is added.
    /// - Returns: all messages of the answer.
    func ask(_ request: Message, _ alarm: Alarm = Alarm(), isAttended: Bool = true) throws -> [Message] {
        let conversation =
            isAttended
            ? try converse(alarm, deadline: nil)
            : try host.takeIdle() ?? host.connect(alarm, deadline: .monotonic() + .seconds(15), isAttended: false)
        return try ask(request, of: conversation, alarm, within: isAttended ? .seconds(30) : .seconds(5))
    }

    private func ask(
        _ request: Message, of conversation: Conversation, _ alarm: Alarm, within patience: Duration
    ) throws -> [Message] {
        var request = request
        request["path"] = path
        guard request.bytes.count < Message.longestLine else {
            throw SemaphoreError(.usage, "\(name.prefix(80))…: such a long name is no file's")
        }
        conversation.send(request)
        var answer: [Message] = []
        var size = 0
        while let message = try conversation.next(alarm, within: patience) {
            // To a heartbeat that was sent as a wait ended.
            if message.verb == "beat" { continue }
            answer.append(message)
            size += message.size
            guard size <= Self.longestAnswer else {
                throw SemaphoreError(.unreachable, "\(name): the host's semq answers without end")
            }
            guard !message.goesOn else { continue }
            host.keep(conversation, limit: Hello.nextRequestLimit)
            if message.verb == "error" { throw SemaphoreError(message, path: path, as: name) }
            return answer
        }
        if alarm.isRung { throw Gate.Failure.interrupted }
        throw SemaphoreError(.unreachable, "\(name): no answer within \(patience.rounded)")
    }

    /// In bytes: more than 4,096 waiters take, or both pages of a history.
    private static let longestAnswer = 16 << 20
}

/// A host that semaphores are on, and how its agent is started.
package final class RemoteHost: Sendable {
    package let name: String
    /// Conversations that have nothing under way, and can take another request.
    private let idle = Guarded(IdleConversations())
    private let reach = Guarded(Reach.nothing)
    /// How often that was done. Held meanwhile: whoever comes then waits for it.
    private let uploads = Guarded(0)
    let agent: AgentCommand
    private let bootstrap: Bootstrapping?

    /// Puts semq onto a host until a deadline, and begins a conversation with it; the last argument hears what takes
    /// long.
    typealias Bootstrapping = @Sendable (Alarm, Duration?, (String) -> Void) throws -> Conversation

    /// - Parameters:
    ///   - agent: how the agent is started.
    ///   - bootstrap: puts semq onto a host that has none; nil leaves that undone.
    init(name: String, agent: AgentCommand, bootstrap: Bootstrapping? = nil) {
        self.name = name
        self.agent = agent
        self.bootstrap = bootstrap
    }

    var identity: HostIdentity {
        let at = name.lastIndex(of: "@")
        return HostIdentity(
            name: at.map { String(name[name.index(after: $0)...]) } ?? name, user: at.map { String(name[..<$0]) },
            program: agent.shell.chosen)
    }

    var hasIdle: Bool { idle.withLock { !$0.isEmpty(at: .sinceBoot()) } }

    /// How far anybody has come there.
    package enum Reach: Comparable {
        /// Nobody knows.
        case nothing
        /// Somebody was logged in.
        case account
        /// The host has no semq, or none that can be started.
        case host
        case semq
    }

    var reached: Reach { reach.withLock(\.self) }

    /// One that is sound as far as can be seen.
    func takeIdle() -> Conversation? {
        while let conversation = idle.withLock({ $0.take(at: .sinceBoot()) }) {
            if case .nothing = conversation.receive() { return conversation }
            conversation.close()
        }
        return nil
    }

    /// Keeps a conversation that has nothing under way for the next request.
    /// - Parameter limit: how long its agent waits for one; after a lease if not said.
    func keep(_ conversation: Conversation, limit: Duration = Hello.requestLimit) {
        idle.withLock { $0.keep(conversation, limit: limit, at: .sinceBoot()) }
    }

    /// Whether semq was put there by this process.
    var hasUploaded: Bool { uploads.withLock { $0 > 0 } }

    /// A new conversation, open.
    /// - Parameters:
    ///   - isAttended: somebody is there to answer questions.
    ///   - tell: hears what takes long.
    func connect(
        _ alarm: Alarm, deadline: Duration?, isAttended: Bool = true, _ tell: (String) -> Void = { _ in }
    ) throws -> Conversation {
        let before = uploads.withLock(\.self)
        do {
            return try open(Conversation(agent, isAttended: isAttended), alarm, deadline, isAttended)
        } catch let error as SemaphoreError where [ENOENT, EACCES, ENOEXEC].contains(error.systemError) {
            reach.withLock { $0 = max($0, .host) }
            guard let bootstrap else { throw error }
            let first: Conversation? = try uploads.withLock { count in
                guard count == before else { return nil }
                let conversation = try bootstrap(alarm, deadline, tell)
                count += 1
                return conversation
            }
            return try open(first ?? Conversation(agent, isAttended: isAttended), alarm, deadline, isAttended)
        }
    }

    private func open(
        _ conversation: Conversation, _ alarm: Alarm, _ deadline: Duration?, _ isAttended: Bool
    ) throws -> Conversation {
        do {
            try conversation.open(alarm, deadline: deadline)
        } catch {
            if conversation.isLoggedIn { reach.withLock { $0 = max($0, .account) } }
            throw error
        }
        reach.withLock { $0 = .semq }
        // Stopped in the middle (Ctrl-Z), we may hear a greeting whose agent has left meanwhile.
        guard conversation.hasEnded else { return conversation }
        conversation.close()
        let conversation = try Conversation(agent, isAttended: isAttended)
        try conversation.open(alarm, deadline: deadline)
        return conversation
    }
}
