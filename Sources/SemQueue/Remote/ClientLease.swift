/// What a client knows of its lease, which decides when its command must be dead. No I/O; time, on
/// CLOCK_BOOTTIME, is passed in.
///
/// Let `proven` be the time before the newest heartbeat that was answered was handed to the connection. The agent
/// counts the lease's length from the *receipt* of a heartbeat, which is later, so it always expires later
/// than reckoned here; what is left between the steps is for stopping, killing and reaping.
struct ClientLease: Equatable {
    let length: Duration
    private(set) var proven: Duration
    /// Something runs under the lease: what is known of it is kept fresh, so that a longer cut is survived.
    var isHolding = false
    private var lastBeat: Duration
    private var number: Int64 = 0
    private var unanswered: [(number: Int64, at: Duration)] = []

    /// How a lease can be chosen.
    static let lengths: ClosedRange<Duration> = .seconds(5)...(.seconds(60))
    static let standard = Duration.seconds(15)

    enum Phase: Int, Comparable {
        /// Answered lately.
        case sound
        /// No answer for a third of the length: people are told.
        case doubtful
        /// The command is asked to end.
        case ending
        /// The command and all its processes are killed.
        case killing
        /// All of them must be dead and reaped.
        case over

        static func < (left: Phase, right: Phase) -> Bool { left.rawValue < right.rawValue }

        /// Where it begins, in hundredths of the length.
        var start: Int {
            switch self {
            case .sound: 0
            case .doubtful: 33
            case .ending: 70
            case .killing: 80
            case .over: 93
            }
        }
    }

    /// - Parameter now: before the request that began the lease was sent.
    init(length: Duration, at now: Duration) {
        self.length = length
        proven = now
        lastBeat = now
    }

    /// The number of a heartbeat to send now.
    mutating func beat(at now: Duration) -> Int64 {
        number += 1
        lastBeat = now
        unanswered.append((number, now))
        // Those that a cut has swallowed are never answered.
        if unanswered.count > 64 { unanswered.removeFirst() }
        return number
    }

    /// The agent has answered a heartbeat.
    /// - Returns: false where none of that number was sent, or the answer is known already.
    @discardableResult
    mutating func answered(_ number: Int64) -> Bool {
        guard let index = unanswered.firstIndex(where: { $0.number == number }) else { return false }
        proven = max(proven, unanswered[index].at)
        unanswered.removeFirst(index + 1)
        return true
    }

    /// Another process of ours has had an answer to a heartbeat of that time.
    mutating func answered(at time: Duration) { proven = max(proven, time) }

    /// When the next heartbeat is to be sent.
    var nextBeat: Duration { lastBeat + length / (isHolding ? 15 : 5) }

    /// How long to wait between two attempts to connect.
    /// - Parameter tried: how many are being tried at the time.
    func pause(at now: Duration, tried: Int) -> Duration {
        // Whoever only waits has the whole lease for it, and leaves the host to those who hold: hundreds who come again
        // and again before they can be answered would let nobody in at all.
        guard isHolding else { return max(Self.shortestPause, length / 20) * (1 + tried) }
        // What outlives the lease may do so for hours, and there is less to win from minute to minute.
        guard phase(at: now) == .over else { return Self.shortestPause }
        return max(Self.shortestPause, min(.seconds(10), (now - proven) / 20))
    }

    static let shortestPause = Duration.milliseconds(300)

    /// When a phase begins unless something is answered first.
    func start(of phase: Phase) -> Duration { Self.start(of: phase, length: length, proven: proven) }

    static func start(of phase: Phase, length: Duration, proven: Duration) -> Duration {
        proven + length * phase.start / 100
    }

    func phase(at now: Duration) -> Phase {
        [.over, .killing, .ending, .doubtful].first { now >= start(of: $0) } ?? .sound
    }

    /// When the phase changes next.
    func nextChange(at now: Duration) -> Duration {
        let phase = phase(at: now)
        return Phase(rawValue: phase.rawValue + 1).map { start(of: $0) } ?? now + length
    }

    static func == (left: ClientLease, right: ClientLease) -> Bool {
        left.length == right.length && left.proven == right.proven && left.lastBeat == right.lastBeat
            && left.number == right.number && left.isHolding == right.isHolding
    }
}
