/// Several semaphores at once: all of them, or the first to be had.
package enum Several {
    /// One semaphore.
    package static func one(
        _ path: String, _ request: Request, alarm: Alarm = Alarm(), observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let outcome = try Member.acquire(path, request, alarm: alarm, observer: observer)
        guard case .granted(let grant) = outcome else { return .refused(outcome, path: path) }
        return .granted([grant])
    }

    /// Takes every one, in the order of the queues' random names, keeping those taken while it waits for
    /// the next: everybody climbs in the same order, so nobody waits in a circle, and whoever wants many
    /// keeps its place in each queue like all others.
    /// - Returns: the grants in the order of `paths`, once for each queue; or the first other outcome,
    ///   all given back.
    package static func all(
        _ paths: [String], _ request: Request, alarm: Alarm = Alarm(), observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let queues = try distinct(paths, request, alarm, observer)
        let deadline = request.limit.map { Duration.monotonic() + $0 }
        var grants: [Grant] = []
        func giveBack() { for grant in grants.reversed() { grant.release() } }
        do {
            for queue in queues.sorted(by: { $0.id < $1.id }) {
                var request = request
                if let deadline, request.limit != .zero {
                    request.limit = max(.nanoseconds(1), deadline - .monotonic())
                }
                let watch = HeldObserver(observer, held: grants, alarm: alarm)
                let outcome = try Member.acquire(queue.path, request, alarm: alarm, observer: watch)
                if case .granted(let grant) = outcome { grants.append(grant) }
                if let (lost, loss) = grants.loss() {
                    giveBack()
                    return .refused(loss.asOutcome, path: lost.path)
                }
                guard case .granted = outcome else {
                    giveBack()
                    return .refused(outcome, path: queue.path)
                }
            }
        } catch {
            giveBack()
            throw error
        }
        let order = Dictionary(uniqueKeysWithValues: queues.enumerated().map { ($1.path, $0) })
        return .granted(grants.sorted { order[$0.path]! < order[$1.path]! })
    }

    /// Queues at every one and keeps the first that is granted.
    ///
    /// A queue that fails is left out as long as others go on.
    package static func any(
        _ paths: [String], _ request: Request, alarm: Alarm = Alarm(), observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let queues = try distinct(paths, request, alarm, observer)
        var now = request
        now.limit = .zero
        var refused: SeveralOutcome?
        for queue in queues {
            let outcome = try Member.acquire(queue.path, now, alarm: alarm, observer: observer)
            if case .granted(let grant) = outcome { return .granted([grant]) }
            refused = .refused(outcome, path: queue.path)
        }
        if request.limit == .zero, let refused { return refused }
        return try first(queues.map(\.path), request, alarm, observer)
    }

    private static func first(
        _ paths: [String], _ request: Request, _ alarm: Alarm, _ observer: any WaitObserver
    ) throws -> SeveralOutcome {
        let ends = Guarded<[End]>([])
        let alarms = paths.map { _ in Alarm() }
        var threads: [BlockingThread] = []
        defer { for thread in threads { thread.join() } }
        for (path, own) in zip(paths, alarms) {
            do {
                threads.append(
                    try BlockingThread.start {
                        let result = Result { try Member.acquire(path, request, alarm: own, observer: Unobserved()) }
                        ends.withLock { $0.append(End(path: path, result: result)) }
                        alarm.nudge()
                    })
            } catch {
                for alarm in alarms { alarm.ring() }
                throw error
            }
        }
        func finished() -> [End] { ends.withLock { $0 } }
        while !alarm.isRung, finished().count < paths.count, !finished().contains(where: \.isGrant) {
            observer.blocks(true)
            alarm.sleep(observer.look(paths) ?? .seconds(3600))
            observer.blocks(false)
        }
        for alarm in alarms { alarm.ring() }
        for thread in threads { thread.join() }
        threads = []
        let ended = finished()
        var kept: Grant?
        for end in ended {
            guard case .granted(let grant) = try? end.result.get() else { continue }
            if kept == nil, !alarm.isRung { kept = grant } else { grant.release() }
        }
        if let kept { return .granted([kept]) }
        if alarm.isRung { return .refused(.cancelled, path: paths[0]) }
        // None was granted: an orderly end says more than a failure beside it.
        if let orderly = ended.first(where: { (try? $0.result.get()) != nil }) {
            return .refused(try orderly.result.get(), path: orderly.path)
        }
        return .refused(try ended[0].result.get(), path: ended[0].path)
    }

    private struct End: Sendable {
        var path: String
        var result: Result<Outcome, any Error>

        var isGrant: Bool {
            if case .success(.granted) = result { true } else { false }
        }
    }

    private struct Queue {
        var path: String
        var id: UInt64
    }

    /// The same queue by two names counts once.
    private static func distinct(
        _ paths: [String], _ request: Request, _ alarm: Alarm, _ observer: any WaitObserver
    ) throws -> [Queue] {
        var seen: Set<UInt64> = []
        return try paths.map { path in
            Queue(path: path, id: try Member.identify(path, request, alarm: alarm, observer: observer))
        }.filter { seen.insert($0.id).inserted }
    }
}

extension [Grant] {
    /// The first that no longer stands, and why.
    package func loss() -> (grant: Grant, loss: Grant.Loss)? {
        for grant in self {
            if let loss = grant.loss() { return (grant, loss) }
        }
        return nil
    }
}

/// Looks after what is held already while the next one is waited for.
private final class HeldObserver: WaitObserver {
    private let next: any WaitObserver
    private let held: [Grant]
    private let alarm: Alarm

    init(_ next: any WaitObserver, held: [Grant], alarm: Alarm) {
        self.next = next
        self.held = held
        self.alarm = alarm
    }

    func look(_ place: Place) -> Duration? {
        let limit = next.look(place)
        guard !held.isEmpty else { return limit }
        if held.loss() != nil { alarm.ring() }
        return min(.seconds(1), limit ?? .seconds(1))
    }

    func made(_ path: String, concurrency: Int) { next.made(path, concurrency: concurrency) }
    func recovered(_ path: String) { next.recovered(path) }
    func joined(_ place: Place) { next.joined(place) }
    func isNext(_ place: Place) { next.isNext(place) }
    func left() { next.left() }
    func blocks(_ begins: Bool) { next.blocks(begins) }
    func lostPlace() -> Bool { next.lostPlace() }
    func stuck(_ path: String) { next.stuck(path) }
    func holdsOff(_ path: String, for duration: Duration) { next.holdsOff(path, for: duration) }
    func confirms() -> Bool { next.confirms() }
    func standing() -> Standing { next.standing() }
}

/// How a request for several ended.
package enum SeveralOutcome: Sendable {
    case granted([Grant])
    /// Refused at this path; nothing is held.
    case refused(Outcome, path: String)
}

extension Grant.Loss {
    fileprivate var asOutcome: Outcome {
        switch self {
        case .fileReplaced: .removed(by: "?", reason: "the queue file was replaced")
        case .released(let by, let reason, _): .removed(by: by, reason: reason)
        }
    }
}
