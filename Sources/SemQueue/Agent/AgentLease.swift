/// What an agent knows of its client's lease. No I/O; time, on CLOCK_BOOTTIME, is passed in.
struct AgentLease: Equatable {
    let length: Duration
    /// When the last sign of life was received.
    private(set) var heard: Duration

    init(length: Duration, at now: Duration) {
        self.length = length
        heard = now
    }

    mutating func hear(at now: Duration) { heard = max(heard, now) }

    /// The client's processes are dead by then, for it counts from before it sent the sign.
    var end: Duration { heard + length }

    func isOver(at now: Duration) -> Bool { now >= end }

    /// Two heartbeats are missing: the client is taken to be cut off, and blocks nobody while it waits.
    var silentAt: Duration { heard + length / 2 }

    func isSilent(at now: Duration) -> Bool { now >= silentAt }
}
