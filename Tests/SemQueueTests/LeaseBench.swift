import Glibc
import Testing

@testable import SemQueue

/// A queue in a folder of its own, whose members may have leases, and a clock that the test moves.
final class LeaseBench: Sendable {
    let folder = Folder()
    var path: String { folder.path("q") }
    private let time = Guarded(BootTime(boot: 7, milliseconds: 1_000_000))
    private let holdoffs = Guarded<[Duration]>([])

    var clock: BootTime.Clock {
        { [self] in time.withLock { $0 } }
    }

    func advance(_ duration: Duration) { time.withLock { $0.milliseconds += duration.milliseconds } }

    func reboot(uptime: Duration = .zero) {
        time.withLock { $0 = BootTime(boot: $0.boot + 1, milliseconds: uptime.milliseconds) }
    }

    static let client = Party(pid: 4242, host: "desk", user: "ann", description: "not this")

    func request(lease: Duration? = nil, limit: Duration? = nil, priority: Int = 0, _ name: String = "") -> Request {
        var request = Request()
        request.description = name
        request.priority = priority
        request.lease = lease
        request.party = lease.map { _ in Self.client }
        request.limit = limit
        return request
    }

    /// Tries once.
    func attempt(lease: Duration? = nil, _ name: String = "try") throws -> LocalGrant? {
        let observer = LeaseObserver()
        let outcome = try Member.acquire(
            path, request(lease: lease, limit: .zero, name), alarm: Alarm(), observer: observer, clock: clock)
        holdoffs.withLock { $0 += observer.holdoffs }
        guard case .granted(let grant) = outcome else { return nil }
        return grant as? LocalGrant
    }

    /// Dies without a word. The locks of a process that is killed go with it; here they are undone by hand, because
    /// a test beside this one may just be forking, and the child has the description until it executes its program.
    func lose(_ grant: LocalGrant) { grant.description.unlockAll() }

    /// What those who tried were told.
    var heldOff: [Duration] { holdoffs.withLock { $0 } }

    func status() throws -> QueueStatus {
        let (file, description, _) = try QueueFile.open(path, .init(create: false, readOnly: true))
        return QueueStatus(of: file, through: description, clock: clock)
    }

    func header() throws -> Header? {
        let (_, description, _) = try QueueFile.open(path, .init(create: false, readOnly: true))
        return QueueFile.header(from: description)
    }

    func record(_ slot: Int) throws -> SlotRecord? {
        let (_, description, _) = try QueueFile.open(path, .init(create: false, readOnly: true))
        return QueueFile.record(SlotRecord.self, at: QueueFile.slotLines.lowerBound + slot, from: description)
    }

    /// Writes over a part of the file, as somebody careless would.
    func overwrite(_ bytes: [UInt8], at offset: Int) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        _ = pwrite(descriptor, bytes, bytes.count, off_t(offset))
    }

    static func offset(ofSlot slot: Int) -> Int { (QueueFile.slotLines.lowerBound + slot) * Line.length }

    func events(_ event: String) -> Int {
        History(of: path).lines().count { $0.contains("\"event\": \"\(event)\"") }
    }

    /// Starts to wait on a thread.
    func waiter(
        lease: Duration? = nil, priority: Int = 0, _ name: String, confirming: Bool = true, asks: Bool = false
    ) throws -> LeaseWaiter {
        try LeaseWaiter(
            self, request(lease: lease, priority: priority, name),
            LeaseObserver(answers: asks ? [] : nil, otherwise: confirming))
    }
}

/// Follows one wait, and answers for the client.
final class LeaseObserver: WaitObserver, Sendable {
    private struct State {
        var asked = 0
        var answers: [Bool]?
        var otherwise: Bool
        var standing = Standing.inLine
        var holdoffs: [Duration] = []
        var waits = 0
    }

    private let state: Guarded<State>

    /// - Parameters:
    ///   - answers: to the questions whether the slot is still wanted; each waits until its answer is there. Nil
    ///     answers at once.
    init(answers: [Bool]? = nil, otherwise: Bool = true) {
        state = Guarded(State(answers: answers, otherwise: otherwise))
    }

    var asked: Int { state.withLock { $0.asked } }
    var holdoffs: [Duration] { state.withLock { $0.holdoffs } }
    /// How often it went to sleep.
    var waits: Int { state.withLock { $0.waits } }

    func answer(_ answer: Bool) { state.withLock { $0.answers?.append(answer) } }
    func stand(_ standing: Standing) { state.withLock { $0.standing = standing } }

    func confirms() -> Bool {
        let number = state.withLock {
            $0.asked += 1
            return $0.asked
        }
        while true {
            let answer: Bool? = state.withLock { state in
                guard let answers = state.answers else { return state.otherwise }
                return answers.count >= number ? answers[number - 1] : nil
            }
            if let answer { return answer }
            sched_yield()
        }
    }

    func standing() -> Standing { state.withLock { $0.standing } }
    func holdsOff(_ path: String, for duration: Duration) { state.withLock { $0.holdoffs.append(duration) } }
    func blocks(_ begins: Bool) { state.withLock { $0.waits += begins ? 1 : 0 } }
}

/// One who waits on a thread of its own.
final class LeaseWaiter: Sendable {
    let observer: LeaseObserver
    let alarm = Alarm()
    private let outcome = Guarded<Result<Outcome, any Error>?>(nil)
    private let name: String

    init(_ bench: LeaseBench, _ request: Request, _ observer: LeaseObserver) throws {
        self.observer = observer
        name = request.description
        try BlockingThread.start { [self] in
            let result = Result {
                try Member.acquire(bench.path, request, alarm: alarm, observer: observer, clock: bench.clock)
            }
            outcome.withLock { $0 = result }
        }.detach()
        try LeaseWaiter.settled {
            self.hasEnded || ((try? bench.status().waiting.contains { $0.party.description == self.name }) ?? false)
        }
    }

    deinit { alarm.ring() }

    var hasEnded: Bool { outcome.withLock { $0 != nil } }

    /// How it ended, once it has.
    func ended() throws -> Outcome {
        try Self.settled { self.hasEnded }
        return try outcome.withLock { try $0!.get() }
    }

    /// Its permit, once it has one. The waiter forgets it: let go of, it is lost.
    func granted() throws -> LocalGrant {
        let ended = try ended()
        outcome.withLock { $0 = .success(.cancelled) }
        guard case .granted(let grant) = ended, let local = grant as? LocalGrant else {
            Issue.record("\(name) was not granted: \(ended)")
            throw CancellationError()
        }
        return local
    }

    func stand(_ standing: Standing) {
        observer.stand(standing)
        alarm.nudge()
    }

    /// Waits until something is so.
    static func settled(_ condition: () throws -> Bool) throws {
        let end = ContinuousClock.now + .seconds(20)
        while try !condition() {
            try #require(ContinuousClock.now < end, "it never came to be so")
            sched_yield()
        }
    }
}
