/// Several semaphores at once: all of them, or the first to be had.
package enum Several {
    /// One semaphore.
    package static func one(
        _ semaphore: any NamedSemaphore, _ request: Request, alarm: Alarm = Alarm(), observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let outcome = try semaphore.acquire(request, alarm: alarm, observer: observer)
        guard case .granted(let grant) = outcome else { return .refused(outcome, semaphore) }
        return .granted([grant])
    }

    /// Takes every one, in the order of the queues' random names (copies, whose names are the same, in that of the files
    /// and their hosts), keeping those taken while it waits for
    /// the next: everybody climbs in the same order, so nobody waits in a circle, and whoever wants many
    /// keeps its place in each queue like all others.
    ///
    /// A queue that is replaced, or damaged so that its name is lost, has another: where that changes the order, all is given back
    /// and taken anew, for others climb in the new one by now. (It is looked for on this host.)
    /// - Returns: the grants in the order of `semaphores`, once for each queue; or the first other outcome,
    ///   all given back. Those on other hosts are let alone: somebody has to keep them from then on.
    package static func all(
        _ semaphores: [any NamedSemaphore], _ request: Request, alarm: Alarm = Alarm(), observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let deadline = request.limit.map { Duration.monotonic() + $0 }
        while true {
            if let outcome = try climb(semaphores, request, until: deadline, alarm, observer) { return outcome }
            observer.tells(
                "a queue was damaged or replaced, and with it the order in which all take several; begins anew with the first"
            )
        }
    }

    /// - Returns: nil where the order has changed on the way.
    private static func climb(
        _ semaphores: [any NamedSemaphore], _ request: Request, until deadline: Duration?, _ alarm: Alarm,
        _ observer: any WaitObserver
    ) throws -> SeveralOutcome? {
        let queues: [Queue]
        do {
            queues = try distinct(semaphores, request, alarm, observer)
        } catch let failure as Gate.Failure {
            return .refused(failure == .interrupted ? .cancelled : .timedOut, semaphores[0])
        }
        let sorted = queues.sorted { $0.id < $1.id }
        var grants: [any Grant] = []
        func giveBack() { for grant in grants.reversed() { grant.release() } }
        do {
            for queue in sorted {
                var request = request
                if let deadline, request.limit != .zero {
                    request.limit = max(.nanoseconds(1), deadline - .monotonic())
                }
                let watch = HeldObserver(observer, held: grants, alarm: alarm) { !areInOrder(sorted) }
                let outcome = try queue.semaphore.acquire(request, alarm: alarm, observer: watch)
                if watch.isOutOfOrder { alarm.goOn() }
                if case .granted(let grant) = outcome {
                    grants.append(grant)
                    try grant.keep { alarm.nudge() }
                }
                if let (lost, loss) = grants.loss() {
                    giveBack()
                    return .refused(loss.asOutcome, queues.first { $0.semaphore.name == lost.path }!.semaphore)
                }
                guard case .granted = outcome else {
                    giveBack()
                    if watch.isOutOfOrder, case .cancelled = outcome, !alarm.isRung { return nil }
                    return .refused(outcome, queue.semaphore)
                }
            }
        } catch {
            giveBack()
            throw error
        }
        for grant in grants { grant.letAlone() }
        let order = Dictionary(uniqueKeysWithValues: queues.enumerated().map { ($1.semaphore.name, $0) })
        return .granted(grants.sorted { order[$0.path]! < order[$1.path]! })
    }

    /// Whether they would be taken in this order today.
    private static func areInOrder(_ queues: [Queue]) -> Bool {
        let ids = queues.map { $0.semaphore.identityAtHand ?? $0.id }
        return zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }
    }

    /// Queues at every one and keeps the first that is granted.
    ///
    /// A queue that fails is left out as long as others go on.
    package static func any(
        _ semaphores: [any NamedSemaphore], _ request: Request, alarm: Alarm = Alarm(), observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let areHere = semaphores.allSatisfy { $0 is LocalSemaphore }
        // A host that can't be reached must not keep us from what can be had elsewhere: none is asked before the
        // others, and none is asked what it is called.
        let queues = areHere ? try distinct(semaphores, request, alarm, observer).map(\.semaphore) : semaphores
        if areHere {
            var now = request
            now.limit = .zero
            var refused: SeveralOutcome?
            for semaphore in queues {
                let outcome = try semaphore.acquire(now, alarm: alarm, observer: observer)
                if case .granted(let grant) = outcome { return .granted([grant]) }
                refused = .refused(outcome, semaphore)
            }
            if request.limit == .zero { return refused! }
        }
        return try first(queues, request, alarm, observer)
    }

    private static func first(
        _ semaphores: [any NamedSemaphore], _ request: Request, _ alarm: Alarm, _ observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let ends = Guarded<[End]>([])
        let alarms = semaphores.map { _ in Alarm() }
        let news = Guarded<[News]>([])
        func spread() {
            for item in news.withLock({ items in
                defer { items = [] }; return items
            }) { item.tell(observer) }
        }
        defer { spread() }
        var threads: [BlockingThread] = []
        defer { for thread in threads { thread.join() } }
        for (semaphore, own) in zip(semaphores, alarms) {
            do {
                threads.append(
                    try BlockingThread.start {
                        let result = Result {
                            try semaphore.acquire(request, alarm: own, observer: Reporter(news, alarm))
                        }
                        // Granted on another host, it must be kept until the others have been given up.
                        if case .success(.granted(let grant)) = result { try? grant.keep {} }
                        ends.withLock { $0.append(End(semaphore: semaphore, result: result)) }
                        alarm.nudge()
                    })
            } catch {
                for alarm in alarms { alarm.ring() }
                throw error
            }
        }
        func finished() -> [End] { ends.withLock { $0 } }
        var seen = 0
        /// The others go on without one that fails, or where somebody ends the wait, and people learn why.
        /// - Parameter last: the one that is told of elsewhere.
        func tellLeftOut(of all: [End], except last: Int? = nil) {
            for (index, end) in all.enumerated().dropFirst(seen) where index != last {
                switch end.result {
                case .failure(let error as SemaphoreError): observer.tells("\(error.message) (left out)")
                case .success(.removed(let by, let reason)):
                    observer.tells("\(end.semaphore.name): \(by) took this turn out of the queue: \(reason) (left out)")
                default: break
                }
            }
            seen = all.count
        }
        while !alarm.isRung, finished().count < semaphores.count, !finished().contains(where: \.isGrant) {
            observer.blocks(true)
            let ended = finished()
            let waited = semaphores.filter { semaphore in !ended.contains { $0.semaphore.name == semaphore.name } }
            alarm.sleep(observer.look(waited) ?? .seconds(3600))
            observer.blocks(false)
            spread()
            let all = finished()
            if all.count < semaphores.count { tellLeftOut(of: all) }
        }
        for alarm in alarms { alarm.ring() }
        for thread in threads { thread.join() }
        threads = []
        let ended = finished()
        var kept: (any Grant)?
        for end in ended {
            guard case .granted(let grant) = try? end.result.get() else { continue }
            if kept == nil, !alarm.isRung { kept = grant } else { grant.release() }
        }
        spread()
        if let kept {
            tellLeftOut(of: ended)
            kept.letAlone()
            return .granted([kept])
        }
        // None was granted: an orderly end says more than a failure beside it. Each is told of once.
        let last = ended.lastIndex { (try? $0.result.get()) != nil } ?? ended.count - 1
        tellLeftOut(of: ended, except: last)
        if alarm.isRung { return .refused(.cancelled, semaphores[0]) }
        return .refused(try ended[last].result.get(), ended[last].semaphore)
    }

    /// What one of several waits has to tell, which whoever waits for all of them passes on.
    private enum News: Sendable {
        case made(String, concurrency: Int)
        case told(String)

        func tell(_ observer: any WaitObserver) {
            switch self {
            case .made(let place, let concurrency): observer.made(place, concurrency: concurrency)
            case .told(let text): observer.tells(text)
            }
        }
    }

    private final class Reporter: WaitObserver {
        private let news: Guarded<[News]>
        private let alarm: Alarm

        init(_ news: Guarded<[News]>, _ alarm: Alarm) { (self.news, self.alarm) = (news, alarm) }

        func made(_ place: String, concurrency: Int) { add(.made(place, concurrency: concurrency)) }
        func tells(_ text: String) { add(.told(text)) }

        private func add(_ item: News) {
            news.withLock { $0.append(item) }
            alarm.nudge()
        }
    }

    private struct End: Sendable {
        var semaphore: any NamedSemaphore
        var result: Result<Outcome, any Error>

        var isGrant: Bool {
            if case .success(.granted) = result { true } else { false }
        }
    }

    private struct Queue {
        /// Two queues of one random name are one queue, or one is a copy of the other. (The name changes where a header
        /// is recovered just then.)
        func isSame(as other: Queue) throws -> Bool {
            guard id.queue == other.id.queue || id.isSameFile(as: other.id) else { return false }
            let probe = QueueProbe.random()
            func ask<Answer>(_ semaphore: any NamedSemaphore, _ question: () throws -> Answer) throws -> Answer {
                do {
                    return try question()
                } catch let error as SemaphoreError
                    where semaphore is RemoteSemaphore && [.usage, .permission].contains(error.code)
                {
                    throw SemaphoreError(
                        .unreachable,
                        "\(semaphore.name) and \((semaphore.name == self.semaphore.name ? other : self).semaphore.name): one "
                            + "queue by two names, or a queue and its copy; the semq on that host is too old to tell which: "
                            + "update it, or name one of them only")
                }
            }
            let placed = try ask(semaphore) { try semaphore.place(probe) }
            return try withExtendedLifetime(placed) { try ask(other.semaphore) { try other.semaphore.sees(probe) } }
        }

        var semaphore: any NamedSemaphore
        var id: QueueIdentity
    }

    /// The same queue by two names counts once.
    private static func distinct(
        _ semaphores: [any NamedSemaphore], _ request: Request, _ alarm: Alarm, _ observer: any WaitObserver
    ) throws -> [Queue] {
        var distinct: [Queue] = []
        for semaphore in semaphores where !distinct.contains(where: { $0.semaphore.name == semaphore.name }) {
            let queue = Queue(
                semaphore: semaphore, id: try semaphore.identify(request, alarm: alarm, observer: observer))
            if try !distinct.contains(where: { try $0.isSame(as: queue) }) { distinct.append(queue) }
        }
        return distinct
    }
}

extension [any Grant] {
    /// The first that no longer stands, and why.
    package func loss() -> (grant: any Grant, loss: PermitLoss)? {
        for grant in self {
            if let loss = grant.loss() { return (grant, loss) }
        }
        return nil
    }
}

/// Looks after what is held already while the next one is waited for.
private final class HeldObserver: WaitObserver {
    private let next: any WaitObserver
    private let held: [any Grant]
    private let alarm: Alarm
    private let orderHasChanged: () -> Bool
    /// The wait was ended because of that.
    private(set) var isOutOfOrder = false

    init(_ next: any WaitObserver, held: [any Grant], alarm: Alarm, orderHasChanged: @escaping () -> Bool) {
        self.next = next
        self.held = held
        self.alarm = alarm
        self.orderHasChanged = orderHasChanged
    }

    func look(_ place: any Place) -> Duration? {
        let limit = next.look(place)
        guard !held.isEmpty else { return limit }
        // A file that was replaced has another name, too. It is looked for afterwards: who holds the former one is waited
        // for first, wherever the new one belongs, and a turn in a former one is lost.
        let isElsewhere = orderHasChanged()
        if held.loss() != nil {
            alarm.ring()
        } else if isElsewhere, place.isInPlace {
            isOutOfOrder = true
            alarm.interrupt()
        }
        return min(.seconds(1), limit ?? .seconds(1))
    }

    func made(_ place: String, concurrency: Int) { next.made(place, concurrency: concurrency) }
    func recovered(_ path: String) { next.recovered(path) }
    func joined(_ place: any Place) { next.joined(place) }
    func isNext(_ place: any Place) { next.isNext(place) }
    func left() { next.left() }
    func blocks(_ begins: Bool) { next.blocks(begins) }
    func lostPlace() -> Bool { next.lostPlace() }
    func stuck(_ path: String, by who: String) { next.stuck(path, by: who) }
    func tells(_ news: String) { next.tells(news) }
    func speaks(to descriptor: Int32) { next.speaks(to: descriptor) }
    var showsEachSecond: Bool { next.showsEachSecond }
    func holdsOff(_ path: String, for duration: Duration) { next.holdsOff(path, for: duration) }
    func confirms() -> Bool { next.confirms() }
    func standing() -> Standing { next.standing() }
}

/// How a request for several ended.
package enum SeveralOutcome: Sendable {
    case granted([any Grant])
    /// Refused there; nothing is held.
    case refused(Outcome, any NamedSemaphore)
}

extension PermitLoss {
    fileprivate var asOutcome: Outcome {
        switch self {
        case .fileReplaced: .removed(by: "?", reason: "the queue file was replaced")
        case .cutOff(let why, _): .removed(by: "?", reason: why)
        case .released(let by, let reason, _): .removed(by: by, reason: reason)
        }
    }
}
