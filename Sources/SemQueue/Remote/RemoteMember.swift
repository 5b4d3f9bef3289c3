internal import Glibc

/// One request's dealings with one queue on another host: asks, waits, answers when its turn has come.
struct RemoteMember {
    private let semaphore: RemoteSemaphore
    private let request: Request
    private let alarm: Alarm
    private let observer: any WaitObserver
    private let deadline: Duration?
    private let losses = Losses()

    init(_ semaphore: RemoteSemaphore, _ request: Request, alarm: Alarm, observer: any WaitObserver) {
        self.semaphore = semaphore
        self.request = request
        self.alarm = alarm
        self.observer = observer
        deadline = request.limit.flatMap { $0 == .zero ? nil : Duration.monotonic() + $0 }
    }

    /// - Throws: ``SemaphoreError``; `Gate.Failure` when the alarm rings or time is up while connecting.
    func run() throws -> Outcome {
        while true {
            let conversation = try semaphore.converse(alarm, deadline: deadline, observer)
            // Before it is sent: the agent can't have heard of us earlier.
            let now = Duration.sinceBoot()
            conversation.send(asking)
            let session = LeasedConversation(
                conversation, agent: semaphore.host.agent, length: semaphore.options.lease, at: now)
            if let outcome = try wait(session) { return outcome }
        }
    }

    /// When agents have lost this place, lately. A connection that breaks is not theirs to keep.
    private final class Losses {
        private var moments: [Duration] = []

        /// - Returns: whether so many in so short a time are no mishaps any more.
        func add(at moment: Duration) -> Bool {
            moments = (moments + [moment]).suffix(4)
            return moments.count == 4 && moments[3] - moments[0] < .seconds(30)
        }
    }

    private var asking: Message {
        var request = request
        if let deadline, request.limit != .zero {
            request.limit = max(.milliseconds(1), deadline - .monotonic())
        }
        var fields =
            request.fields + [
                ("path", semaphore.path), ("lease", "\(semaphore.options.lease.nanoseconds / 1_000_000)"),
                ("pid", "\(getpid())"), ("host", LocalHost.name), ("user", LocalHost.user),
                ("watch", observer.showsEachSecond ? "1" : "0"), ("secrets", "1"),
                ("confirms", "1"),
            ]
        fields += semaphore.nesting
        return Message("acquire", fields)
    }

    /// - Returns: nil when the place was lost and the queue is to be joined anew.
    private func wait(_ session: LeasedConversation) throws -> Outcome? {
        let place = RemotePlace(semaphore.name)
        var isGranted = false
        defer {
            // Whoever is granted says goodbye, too, until somebody keeps the permit.
            if !isGranted {
                observer.speaks(to: -1)
                session.close()
            }
        }
        while true {
            if alarm.isRung {
                leave(session)
                return .cancelled
            }
            // The agent keeps the time; this is for the case that it isn't heard any more.
            if let deadline, Duration.monotonic() > deadline + .seconds(2) {
                leave(session)
                return .timedOut
            }
            observer.speaks(to: session.descriptor)
            var look = place.ticket == nil ? nil : observer.look(place)
            if place.isHeldBack { look = min(look ?? .milliseconds(500), .milliseconds(500)) }
            observer.blocks(true)
            let event = session.next(alarm, within: min(look ?? .seconds(5), .seconds(5)))
            observer.blocks(false)
            switch event {
            case nil: continue
            case .cut: observer.tells("\(semaphore.name): the connection is lost; trying to get it back")
            case .resumed(let time, let isNews):
                if isNews { observer.tells("\(semaphore.name): connected again after \(time.rounded)") }
            case .ended(let end):
                session.close()
                guard try goesOn(after: end) else { return nil }
            case .message(let message):
                guard let outcome = try take(message, session, place) else { continue }
                if case .granted = outcome { isGranted = true } else { keep(session) }
                return outcome
            }
        }
    }

    private static let notices: Set = ["made", "recovered", "stuck", "news", "holds-off"]

    /// - Returns: what the wait has come to, or nil while it goes on.
    private func take(_ message: Message, _ session: LeasedConversation, _ place: RemotePlace) throws -> Outcome? {
        switch message.verb {
        case "accepted":
            if let agent = message["agent"], let secret = message["secret"] {
                session.identify(agent: agent, secret: secret)
            }
        // One that never stops telling is not listened to.
        case let verb where Self.notices.contains(verb) && !place.takesNotice(): break
        case "made": semaphore.tell(observer, made: message)
        case "recovered": observer.recovered(semaphore.name)
        case "stuck": observer.stuck(semaphore.name, by: message["who"] ?? "a process there")
        case "news": observer.tells((message["text"] ?? "").renaming(semaphore.path, to: semaphore.name))
        case "holds-off": observer.holdsOff(semaphore.name, for: message.duration("for") ?? .zero)
        case "joined":
            place.ticket = Ticket(message)
            observer.joined(place)
        case "next": observer.isNext(place)
        case "holder":
            if let ticket = Ticket(message), let token = message.integer("token") {
                try semaphore.checkNotAround(ticket, token: token)
            }
            place.take(message)
        case "queue", "waiter", "end", "place": place.take(message)
        case "ready":
            // Nobody is granted who might have to die at once.
            if session.lease.phase(at: .sinceBoot()) == .sound {
                session.send(Message("take", [("number", message["number"] ?? "0")]))
            }
        case "granted":
            guard let grant = RemoteGrant(message, semaphore, session) else {
                throw SemaphoreError(.unreachable, "\(semaphore.name): the host's semq grants, but not what")
            }
            return .granted(grant)
        case let verb where Self.ends.contains(verb): return try end(message, session)
        default: break
        }
        return nil
    }

    private static let ends: Set = ["busy", "paused", "full", "timed-out", "removed", "error"]

    /// How the wait has ended at the agent, which keeps that until we have heard it.
    private func end(_ message: Message, _ session: LeasedConversation) throws -> Outcome {
        session.send(.confirmation)
        switch message.verb {
        case "busy": return .busy(.held)
        case "paused": return .busy(.paused(reason: message["reason"] ?? "?", by: message["by"] ?? "?"))
        case "full": return .busy(.full)
        case "timed-out": return .timedOut
        case "removed": return .removed(by: message["by"] ?? "?", reason: message["reason"] ?? "?")
        default: throw SemaphoreError(message, path: semaphore.path, as: semaphore.name)
        }
    }

    /// What the end of a conversation means for one who waits.
    /// - Returns: false when it begins anew.
    private func goesOn(after end: LeasedConversation.End) throws -> Bool {
        switch end {
        case .gone(let why), .expired(let why):
            guard !losses.add(at: .monotonic()) else {
                throw SemaphoreError(
                    .unreachable,
                    "\(semaphore.name): the host's semq lost this place again and again; "
                        + "see: semq doctor \(semaphore.name)")
            }
            observer.tells("\(semaphore.name): the place is lost (\(why)); queues again")
            alarm.sleep(.milliseconds(Int64.random(in: 50...500)))
            return false
        case .superseded:
            throw SemaphoreError(.lost, "\(semaphore.name): somebody else has taken over this connection")
        case .cutOff:
            let text =
                "\(semaphore.name): no connection for \(semaphore.options.lease.rounded), so the place is lost"
            guard semaphore.options.retryConnect != nil else { throw SemaphoreError(.unreachable, text) }
            observer.tells("\(text); queues again")
            return false
        case .failed(let error): throw error
        }
    }

    private func keep(_ session: LeasedConversation) {
        if let conversation = session.takeConversation() { semaphore.host.keep(conversation) }
    }

    /// Says goodbye, so that nobody waits for the lease to end.
    private func leave(_ session: LeasedConversation) {
        if let conversation = session.farewell(within: .seconds(1)).connection { semaphore.host.keep(conversation) }
    }
}

/// Where a remote waiter stands, as far as the agent has told.
final class RemotePlace: Place {
    let path: String
    var ticket: Ticket?
    private var count = 0
    private var status: QueueStatus?
    private var assembly = QueueStatus.Assembly()
    private var isNews = false
    private var shown: Duration?
    private var notices = 0
    /// There is news that was not told yet, because there was some a moment before.
    private(set) var isHeldBack = false

    private static let interval = Duration.milliseconds(500)

    init(_ name: String) { path = name }

    /// Whether to tell people of something besides the place; not for ever.
    func takesNotice() -> Bool {
        notices += 1
        return notices <= 20
    }

    func take(_ message: Message) {
        if message.verb == "place" {
            count = message.count("ahead") ?? 0
            isNews = true
        } else if let status = assembly.take(message, semaphore: path) {
            self.status = status
        }
    }

    func hasChanged() -> Bool {
        let now = Duration.monotonic()
        isHeldBack = isNews && shown.map { now - $0 < Self.interval } ?? false
        guard isNews, !isHeldBack else { return false }
        (isNews, shown) = (false, now)
        return true
    }

    func holders() -> QueueStatus {
        status
            ?? QueueStatus(
                semaphore: path, concurrency: 1, isRecovered: false, paused: nil, holders: [], waiting: [])
    }

    func ahead() -> Int { count }

    var locks: PlaceLocks? { nil }
}

extension Duration {
    /// Such as “3 s” or “0.4 s”; a time that is past is “0 s”.
    var rounded: String {
        let tenths = max(0, nanoseconds) / 100_000_000
        return tenths < 100 && tenths % 10 != 0 ? "\(tenths / 10).\(tenths % 10) s" : "\((tenths + 5) / 10) s"
    }
}
