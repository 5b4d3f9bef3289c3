internal import Glibc

/// A permit that an agent on another host holds for us, as long as it hears from us.
///
/// Somebody must keep it: ``keep(_:)`` starts a thread that sends the heartbeats and finds out when the command
/// has to end. Before a fork it is let alone, and the process that goes on keeps it.
package final class RemoteGrant: Grant, @unchecked Sendable {
    package let path: String
    package let ticket: Ticket
    package let slot: Int
    package let token: Int64
    package let queue: UInt64
    package var host: String? { remoteHost.identity.word }
    private let secret: String?

    // Touched by the keeping thread while there is one, otherwise by the owner.
    private let session: LeasedConversation
    private let options: RemoteSemaphore.Options
    private let remoteHost: RemoteHost
    private let state = Guarded(State())
    /// The lease's `proven`, for whoever takes over from a process that was killed, and for all that must not wait
    /// for the keeping thread: it may hang, or there may be no room for it.
    private let proven: SharedInstant
    private var keeper: (thread: BlockingThread, alarm: Alarm)?

    private struct State {
        var loss: PermitLoss?
        /// Its holder has been told that it is lost with the connection, which may be back since.
        var wasCutOff = false
        var news: [String] = []
        /// Why no new connection is to be had, where the host answers.
        var refusal: String?
        /// Lost, and only told.
        var hasWarned = false
        var isDone = false
        var remark: String?
        var isRemarkSent = true
        /// What could not be ended here, said since the permit was lost.
        var outlives: String?
        /// Why the agent keeps nothing for us any more.
        var end: String?
        /// What has become of the slot since, as people were told.
        var told: Told?
    }

    private enum Told { case kept, over }

    init?(_ message: Message, _ semaphore: RemoteSemaphore, _ session: LeasedConversation) {
        guard let ticket = Ticket(message), let slot = message.count("slot"), let token = message.integer("token"),
            let queue = message["queue"].flatMap({ UInt64($0, radix: 16) })
        else { return nil }
        path = semaphore.name
        options = semaphore.options
        remoteHost = semaphore.host
        // Words go into the environment of commands.
        secret = message["secret"].flatMap {
            $0.utf8.count <= 64 && $0.utf8.allSatisfy { Hexadecimal.value([$0]) != nil } ? $0 : nil
        }
        self.ticket = ticket
        self.slot = slot
        self.token = token
        self.queue = queue
        self.session = session
        proven = SharedInstant(session.lease.proven)
        session.hold()
    }

    package var descriptor: Int32? { nil }

    package func prove() -> String? { secret }

    /// A loss that is only warned of lets go on what runs, and begins nothing.
    package var startsUntil: Duration? { start(of: .ending) }

    package var standsUntil: Duration? { options.warnsOnly ? nil : start(of: .ending) }

    package var killBy: Duration? { options.warnsOnly ? nil : start(of: .killing) }

    private func start(of phase: ClientLease.Phase) -> Duration? {
        guard let proven = proven.value else { return nil }
        return ClientLease.start(of: phase, length: options.lease, proven: proven)
    }

    package func rehearseRelease() {}

    package func loss() -> PermitLoss? {
        let (loss, refusal) = state.withLock { ($0.loss, $0.refusal) }
        if let loss { return loss }
        let now = Duration.sinceBoot()
        guard let standsUntil, let killBy, now >= standsUntil else { return nil }
        state.withLock { $0.wasCutOff = true }
        let silence = now - standsUntil + options.lease * ClientLease.Phase.ending.start / 100
        return .cutOff(why: refusal ?? Self.unanswered(silence), grace: max(.zero, killBy - now))
    }

    private static func unanswered(_ time: Duration) -> String { "no answer from the host for \(time.rounded)" }

    package func news() -> [String] {
        state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
    }

    // MARK: keeping

    package func keep(_ changed: @escaping @Sendable () -> Void) throws(SemaphoreError) {
        guard keeper == nil else { return }
        let alarm = Alarm()
        keeper = (
            try BlockingThread.start { [self] in
                while !alarm.isRung, attend(alarm, changed) {}
            }, alarm
        )
    }

    package func letAlone() {
        guard let keeper else { return }
        keeper.alarm.ring()
        keeper.thread.join()
        self.keeper = nil
    }

    package func takeOver() { session.abandonConnection(proven: proven.value) }

    /// One step.
    /// - Returns: false when there is nothing left to keep.
    private func attend(_ alarm: Alarm, _ changed: () -> Void) -> Bool {
        let now = Duration.sinceBoot()
        if session.lease.phase(at: now) >= .ending, loss() == nil, !options.warnsOnly {
            lose(Self.unanswered(now - session.lease.proven), changed)
        }
        if options.warnsOnly, session.lease.phase(at: now) == .over, !state.withLock(\.hasWarned) {
            lose(state.withLock(\.refusal) ?? "no connection for \(options.lease.rounded)", changed)
        }
        let remark: String? = state.withLock { state in
            defer { if !session.isCut { state.isRemarkSent = true } }
            return session.isCut || state.isRemarkSent ? nil : state.remark
        }
        if let remark {
            session.send(Message("remark", [("text", remark)]))
            tellOfSlot(changed)
        }
        // At each heartbeat, so that all know what is proven.
        let event = session.next(alarm, within: min(session.lease.nextChange(at: now) - now, options.lease / 15))
        proven.advance(to: session.lease.proven)
        state.withLock { $0.refusal = session.refusal?.message }
        switch event {
        case nil: return true
        case .cut:
            state.withLock { $0.told = nil }
            let what = options.hasCommand && !options.warnsOnly ? "the command is ended" : "the lock is lost"
            let left = session.lease.start(of: options.warnsOnly ? .over : .ending) - .sinceBoot()
            // Otherwise there is worse to tell.
            if left > .zero, loss() == nil, !state.withLock(\.wasCutOff) {
                tell("\(path): the connection is lost; \(what) in \(left.rounded) unless it is back", changed)
            }
        case .resumed(let time, let isNews):
            state.withLock { $0.isRemarkSent = $0.remark == nil }  // it may have been lost with the old connection
            // After a loss it matters only where something has outlived that.
            if isNews, !state.withLock(\.wasCutOff) { tell("\(path): connected again after \(time.rounded)", changed) }
        case .ended(let end):
            let why =
                switch end {
                case .gone(let why), .expired(let why): why
                case .superseded: "somebody else has taken over this connection"
                case .cutOff: "no connection for \(options.lease.rounded)"
                case .failed(let error): error.message
                }
            state.withLock { $0.end = why }
            lose(why, changed)
            tellOfSlot(changed)
            return false
        case .message(let message): take(message, changed)
        }
        return true
    }

    private func take(_ message: Message, _ changed: () -> Void) {
        switch message.verb {
        case "removed":
            let grace = message.duration("grace") ?? .seconds(5)
            lose(
                PermitLoss.released(by: message["by"] ?? "?", reason: message["reason"] ?? "?", grace: grace), changed)
        case "lost": lose(PermitLoss.fileReplaced, changed)
        default: break
        }
    }

    private func lose(_ why: String, _ changed: () -> Void) {
        // All that runs under the permit is dead when the agent gives it to somebody else.
        let grace = session.lease.start(of: .killing) - .sinceBoot()
        lose(PermitLoss.cutOff(why: why, grace: max(.zero, min(grace, session.lease.length / 5))), changed)
    }

    private func lose(_ loss: PermitLoss, _ changed: () -> Void) {
        if options.warnsOnly, case .cutOff(let why, _) = loss {
            let what = options.hasCommand ? "the command" : "what it is held for"
            let isTold = state.withLock { state in
                defer { state.hasWarned = true }
                return state.hasWarned
            }
            guard !isTold else { return }
            return tell("\(path): the lock is lost: \(why); \(what) goes on, perhaps not alone", changed)
        }
        state.withLock { state in
            if state.loss == nil { state.loss = loss }
            if case .cutOff = loss { state.wasCutOff = true }
        }
        changed()
    }

    private func tell(_ text: String, _ changed: () -> Void) {
        state.withLock { $0.news.append(text) }
        changed()
    }

    package func remark(_ text: String) {
        state.withLock { state in
            (state.remark, state.isRemarkSent) = (text.bounded, false)
            if state.wasCutOff { state.outlives = state.remark }
        }
        keeper?.alarm.nudge()
        if state.withLock({ $0.end != nil }) { tellOfSlot {} }
    }

    /// What has become of the slot, where something that can't be ended here has outlived the permit.
    private func tellOfSlot(_ changed: () -> Void) {
        let text: String? = state.withLock { state in
            guard let outlives = state.outlives, case let told = state.end == nil ? Told.kept : .over,
                state.told != told
            else { return nil }
            state.told = told
            guard let end = state.end else { return "connected again; the slot is kept until all has ended here" }
            return "the turn is over there, and the next one may be in: \(end); but not all has ended here: \(outlives)"
        }
        if let text { tell("\(path): \(text)", changed) }
    }

    // MARK: giving back

    package func release(mayBeDone: Bool) {
        letAlone()
        let isDone = state.withLock { state in
            defer { state.isDone = true }
            return state.isDone
        }
        guard !isDone else { return }
        // Then there is worse to tell.
        let isLost = loss() != nil || state.withLock { $0.hasWarned || $0.wasCutOff }
        // Unheard, it costs the others the lease: the longer that is, the longer it is worth a try.
        let limit = max(.seconds(3), session.lease.length / 4)
        let (isHeard, conversation) = session.farewell(within: limit)
        if let conversation { remoteHost.keep(conversation) }
        guard !isHeard, !isLost else { return }
        let lease = session.lease.length.rounded
        state.withLock {
            $0.news.append(
                "\(path): the host could not be told that this turn is over; it keeps the slot until the lease of \(lease) "
                    + "is over, or up to twice as long")
        }
    }
}
