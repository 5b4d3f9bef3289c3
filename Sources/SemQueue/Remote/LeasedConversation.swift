internal import Glibc

/// A conversation with one agent that outlives its connections: sends the lease's heartbeats, connects anew
/// when they are not answered, and resumes. Whoever owns it calls ``next(_:within:)`` again and again; it has no
/// thread of its own, and goes on in a forked process.
final class LeasedConversation {
    enum Event {
        case message(Message)
        /// The connection is lost or silent; new ones are tried.
        case cut
        /// The agent is heard again, by the old connection or a new one; what was sent since the last answer may be
        /// lost. News where the cut was told.
        case resumed(after: Duration, isNews: Bool)
        /// There is nothing to go on with.
        case ended(End)
    }

    enum End {
        /// The agent is no longer there.
        case gone(String)
        /// The agent has heard nothing of us until the lease was over, and has ended what stood under it.
        case expired(String)
        /// Somebody else has gone on with our lease.
        case superseded
        /// Nobody was reached before the lease ended.
        case cutOff
        /// The agent is of no use.
        case failed(SemaphoreError)
    }

    private(set) var lease: ClientLease
    /// What is said beside the secret when it is resumed.
    var resumption: () -> [(name: String, value: String)] = { [] }
    private let agent: AgentCommand
    private var current: Conversation?
    /// What a new connection shows the agent to be known by.
    private var identity: (agent: String, secret: String)?
    private var cutSince: Duration?
    /// A connection that has ended is told of at once, one that is slow only after a while; new ones are tried sooner.
    private var cutIsTold = false
    private var attempts: [Attempt] = []
    /// Why the host has refused a new connection, since the old one was cut: its key is another, or ours is none.
    private(set) var refusal: SemaphoreError?
    /// What all attempts to resume are known by that are ours, or a process's that was forked from this one.
    private let lineage = Secret.random().text
    private var nextAttempt = Duration.zero
    private var oldestUnanswered: Duration?
    /// Messages since the deadlines were last looked after.
    private var heard = 0
    private static let mostHeard = 256
    /// More may have come, and be in no descriptor any more.
    private var isBehind = false
    private var answerTook = Duration.milliseconds(100)
    /// Somebody else has gone on with the lease: a goodbye would end theirs.
    private var isSuperseded = false

    private final class Attempt {
        let conversation: Conversation
        let begun: Duration
        var askedToResume: Duration?

        init(_ conversation: Conversation, at now: Duration) {
            self.conversation = conversation
            begun = now
        }
    }

    /// - Parameters:
    ///   - conversation: open, and about to be asked for the lease.
    ///   - now: before it is.
    init(_ conversation: Conversation, agent: AgentCommand, length: Duration, at now: Duration) {
        self.agent = agent
        current = conversation
        lease = ClientLease(length: length, at: now)
    }

    /// From here on something runs under the lease. It may outlive that, where it can't be ended: then a connection is
    /// still tried for, since the agent may have heard of us later, and keeps the slot for us if it hears of us again.
    func hold() { (lease.isHolding, outlivesLease) = (true, true) }

    private var outlivesLease = false

    /// From here on a lost connection can be resumed.
    func identify(agent: String, secret: String) { identity = (agent, secret) }

    /// A descriptor by which a last word can be said from a signal handler; −1 while there is no connection.
    var descriptor: Int32 { cutSince == nil ? current?.stream.output ?? -1 : -1 }

    var isCut: Bool { cutSince != nil }

    func send(_ message: Message) { current?.send(message) }

    /// Ends all connections at once.
    func close() {
        current?.close()
        current = nil
        for attempt in attempts { attempt.conversation.close() }
        attempts = []
    }

    /// Says goodbye and waits until that was heard, so that nobody has to wait for the lease to end; then ends. Where
    /// somebody runs nested in the turn, waits for that too, as long as the agent is heard.
    /// - Returns: whether the agent keeps nothing for us any more, or keeps it for those alone; and the connection, where it
    ///   is good for other requests.
    func farewell(within limit: Duration) -> (isHeard: Bool, connection: Conversation?) {
        guard !isSuperseded else {
            close()
            return (true, nil)
        }
        let end = Duration.sinceBoot() + limit
        let alarm = Alarm()
        var isSaid = false
        // It knows, and the turn lasts for those who run nested in it.
        var isKnown = false
        outlivesLease = false
        while case let rest = isKnown && !isCut ? Self.lasts : end - .sinceBoot(), rest > .zero {
            if !isCut, !isSaid {
                send(Message("goodbye", [("confirms", "1")]))
                isSaid = true
            }
            let isAwaited = isSaid && !isKnown
            let event = next(alarm, within: isAwaited ? min(rest, max(.milliseconds(500), answerTook * 4)) : rest)
            switch event {
            case .message(let message) where message.verb == "bye":
                defer { close() }
                send(.confirmation)
                return (true, takeConversation())
            case .message(let message) where message.verb == "lasts": isKnown = true
            // By another connection, which has not heard it.
            case .resumed: isSaid = false
            case nil where isAwaited:
                // Nobody has heard it, it seems: said again, by a new connection.
                isSaid = false
                if !isCut { begin(cutAt: .sinceBoot()) }
            case .ended(.expired), .ended(.superseded):
                close()
                return (true, nil)
            case .ended:
                close()
                return (isKnown, nil)
            case .cut: isSaid = false
            default: break
            }
        }
        close()
        return (isKnown, nil)
    }

    private static let lasts = Duration.seconds(3600)

    /// The connection for other requests, where it is sound; this conversation is over.
    func takeConversation() -> Conversation? {
        guard !isCut else { return nil }
        defer { current = nil }
        return current
    }

    /// The connections are another process's: connect anew, and resume.
    ///
    /// - Parameter proven: what that process knew of the lease, see ``ClientLease/proven``.
    func abandonConnection(proven: Duration?) {
        if let proven { lease.answered(at: proven) }
        current = nil
        attempts = []
        begin(cutAt: .sinceBoot())
    }

    // MARK: going on

    /// Waits for what happens next, and keeps the lease meanwhile.
    /// - Returns: nil when `limit` has passed or the alarm was rung or nudged.
    /// - Parameter others: descriptors that end the wait too.
    func next(_ alarm: Alarm, within limit: Duration, or others: [pollfd] = []) -> Event? {
        let end = Duration.sinceBoot() + limit
        while true {
            if let event = step() { return event }
            let now = Duration.sinceBoot()
            guard now < end, !alarm.isRung else { return nil }
            // poll(2) doesn't count the time that a machine sleeps; the lease does.
            let span = isBehind ? .zero : min(end, wakeTime(now), now + .seconds(1)) - now
            let isUndisturbed = awaitDescriptors(pollEvents + others, alarm, span)
            current?.stream.flush()
            if !isUndisturbed || !others.isEmpty { return step() }
        }
    }

    /// When there is something to do at the latest, if nothing is heard.
    func wakeTime(_ now: Duration) -> Duration {
        var time = lease.nextBeat
        if isCut {
            time = outlivesLease ? nextAttempt : min(nextAttempt, lease.start(of: .over))
            if let cutSince, !cutIsTold { time = min(time, cutSince + silence) }
        } else if let suspicion {
            time = min(time, suspicion)
        }
        return max(now, time)
    }

    private var pollEvents: [pollfd] {
        // One that is open and has to wait with its question isn't read.
        (current?.pollEvents ?? [])
            + attempts.flatMap { attempt in
                if case .open = attempt.conversation.state, attempt.askedToResume == nil { return [pollfd]() }
                return attempt.conversation.pollEvents
            }
    }

    /// How long an answer may be missing before anybody is told: with a short lease there is little time to do
    /// something about it.
    private var silence: Duration {
        min(.seconds(2.5), max(lease.length / 10, lease.length / 3 - .seconds(2.5)))
    }

    /// When an unanswered heartbeat makes the connection suspect.
    private var suspicion: Duration? {
        oldestUnanswered.map {
            $0 + min(max(min(.seconds(1), lease.length / 10), answerTook * 4), lease.length / 5)
        }
    }

    private func step() -> Event? {
        let now = Duration.sinceBoot()
        // Whoever never stops talking is not listened to without end: there are deadlines to look after.
        if heard < Self.mostHeard, let event = readCurrent(now) { return event }
        isBehind = heard >= Self.mostHeard
        heard = 0
        if current != nil, now >= lease.nextBeat {
            oldestUnanswered = oldestUnanswered ?? now
            current?.send(Message("beat", [("number", "\(lease.beat(at: now))")]))
        }
        if !isCut, let suspicion, now >= suspicion { begin(cutAt: oldestUnanswered ?? now) }
        guard let cutSince else { return advance(now) }
        if lease.phase(at: now) == .over, !outlivesLease { return .ended(refusal.map(End.failed) ?? .cutOff) }
        if !cutIsTold, now >= cutSince + silence {
            cutIsTold = true
            return .cut
        }
        guard identity != nil else { return .ended(.gone("the connection was lost")) }
        if now >= nextAttempt { attempt(now) }
        return advance(now)
    }

    private func readCurrent(_ now: Duration) -> Event? {
        while heard < Self.mostHeard, let current {
            heard += 1
            switch current.receive() {
            case .message(let message):
                switch message.verb {
                case "beat":
                    if let event = answered(message, now) { return event }
                case "superseded":
                    // Where the old connection is back together with the new one, it learns of our own resumption.
                    guard message["by"] == lineage else {
                        isSuperseded = true
                        return .ended(.superseded)
                    }
                    // The agent is there, so nobody need be told unless that lasts.
                    leave(now)
                case "error" where message["code"] == "gone":
                    // By the agent itself.
                    return .ended(.expired(message["text"] ?? "the agent has given up on us"))
                default: return .message(message)
                }
            case .nothing: return nil
            case .garbage(let garbage): return .ended(.failed(current.garbage(garbage)))
            case .end: return lost(now)
            }
        }
        return nil
    }

    /// The connection is of no use any more.
    private func leave(_ now: Duration) {
        current?.close()
        current = nil
        if !isCut { begin(cutAt: now) }
    }

    /// The connection has ended.
    private func lost(_ now: Duration) -> Event? {
        leave(now)
        guard !cutIsTold, lease.phase(at: now) < .over || outlivesLease else { return nil }
        cutIsTold = true
        return .cut
    }

    private func answered(_ message: Message, _ now: Duration) -> Event? {
        guard let number = message.integer("number"), lease.answered(number) else { return nil }
        if let oldestUnanswered { answerTook = now - oldestUnanswered }
        return healed(now)
    }

    private func healed(_ now: Duration) -> Event? {
        // What was sent by a connection that is given up is not answered by the one in its place.
        oldestUnanswered = nil
        guard let since = cutSince else { return nil }
        (cutSince, refusal) = (nil, nil)
        // One that has asked to resume takes the place of the old connection, though that is back first.
        for attempt in attempts where attempt.askedToResume == nil { attempt.conversation.close() }
        attempts.removeAll { $0.askedToResume == nil }
        return .resumed(after: now - since, isNews: cutIsTold)
    }

    private func begin(cutAt time: Duration) {
        cutSince = time
        cutIsTold = false
        oldestUnanswered = nil
        nextAttempt = .sinceBoot() + (attempts.isEmpty ? .zero : ClientLease.shortestPause)
    }

    // MARK: connecting anew

    private static let mostAttempts = 8
    private static let attemptLasts = Duration.seconds(10)

    private func attempt(_ now: Duration) {
        let pause = lease.pause(at: now, tried: attempts.count)
        // Hosts that come back meet all their clients at once: not all at the same beat.
        nextAttempt = now + pause + pause * 2 / 3 * Double.random(in: 0...1)
        if attempts.count >= Self.mostAttempts {
            // The oldest stays, for hosts that take long; the others get a few seconds each.
            attempts.remove(at: 1).conversation.close()
        }
        guard let conversation = try? Conversation(agent, isAttended: false) else { return }
        attempts.append(Attempt(conversation, at: now))
    }

    private func advance(_ now: Duration) -> Event? {
        var isResuming = attempts.contains { $0.askedToResume.map { now - $0 < .seconds(2) } ?? false }
        for (index, attempt) in attempts.enumerated().reversed() {
            attempt.conversation.advance()
            switch attempt.conversation.state {
            case .failed(let error):
                if error.code == .permission { refusal = error }
                remove(index)
            case _ where now - (attempt.askedToResume ?? attempt.begun) > Self.attemptLasts: remove(index)
            case .greeting: break
            case .open where attempt.askedToResume == nil:
                // One at a time: the newest to resume ends the one before.
                guard !isResuming, let identity else { continue }
                isResuming = true
                attempt.askedToResume = now
                attempt.conversation.send(
                    Message(
                        "resume",
                        [
                            ("agent", identity.agent), ("secret", identity.secret), ("by", lineage),
                            ("number", "\(lease.beat(at: now))"),
                        ] + resumption()))
            case .open:
                if let event = answer(to: attempt, index, now) { return event }
            }
        }
        return nil
    }

    private func remove(_ index: Int) { attempts.remove(at: index).conversation.close() }

    private func answer(to attempt: Attempt, _ index: Int, _ now: Duration) -> Event? {
        switch attempt.conversation.receive() {
        case .nothing: return nil
        case .end, .garbage:
            remove(index)
            return nil
        case .message(let message) where message.verb == "resumed":
            attempts.remove(at: index)
            current?.close()
            current = attempt.conversation
            if let number = message.integer("number") { lease.answered(number) }
            // In the place of a connection that was back before it.
            return healed(now) ?? .resumed(after: .zero, isNews: false)
        case .message(let message) where message.verb == "error":
            // While the old connection is heard, that is only this one's trouble.
            if isCut, message["code"] == "gone" {
                return .ended(.gone(message["text"] ?? "the agent is no longer there"))
            }
            remove(index)
            return nil
        case .message: return nil
        }
    }
}
