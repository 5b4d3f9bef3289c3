internal import CSemQueue
internal import Glibc

/// The queue's mutex, on a description of its own that no other process ever gets.
///
/// It is held for a handful of system calls. Short read locks of waiters live on this description
/// too, so that they never mingle with the locks that a permit consists of.
struct Gate {
    let description: Description

    enum Failure: Error {
        /// The alarm was rung.
        case interrupted
        /// The limit was reached: whoever holds the mutex stands still.
        case timedOut
    }

    /// Runs `body` under the mutex.
    /// - Parameters:
    ///   - deadline: when to give up, on the monotonic clock; nil: never.
    ///   - stuck: called after two seconds of waiting and then again and again; it may be dear.
    func locked<Result>(
        alarm: Alarm, deadline: Duration?, stuck: () -> Void = {}, _ body: () throws -> Result
    ) throws -> Result {
        if !description.tryLock(.write, LockSpace.mutex) { try wait(alarm, deadline, stuck) }
        defer { description.unlock(LockSpace.mutex) }
        return try body()
    }

    private func wait(_ alarm: Alarm, _ deadline: Duration?, _ stuck: () -> Void) throws(Failure) {
        let start = Duration.monotonic()
        var nextInquiry = start + .seconds(2)
        while true {
            let now = Duration.monotonic()
            if alarm.isRung { throw .interrupted }
            if let deadline, now >= deadline { throw .timedOut }
            // Whoever waits for long looks rarely: where thousands come at once, their looks would hold up all of them.
            var limit = min(max(.seconds(2), now - start), .seconds(30))
            let inquires = now >= nextInquiry && description.tryLock(.write, LockSpace.inquiry)
            defer { if inquires { description.unlock(LockSpace.inquiry) } }
            if inquires {
                stuck()
                nextInquiry = now + limit
                // Nobody else inquires meanwhile, so that it takes a tenth of the time at most.
                limit = (.monotonic() - now) * 10
            }
            if let deadline { limit = min(limit, deadline - now) }
            if description.lock(.write, LockSpace.mutex, alarm, limit) { return }
        }
    }

    /// Sleeps until nobody locks the span for writing any more, or `limit` has passed.
    /// - Returns: whether it came free.
    @discardableResult
    func await(_ span: LockSpace.Span, _ alarm: Alarm, _ limit: Duration?) -> Bool {
        guard description.lock(.read, span, alarm, limit) else { return false }
        description.unlock(span)
        return true
    }

    /// Sleeps until a slot is given back, or `limit` has passed, or the alarm ends the wait.
    ///
    /// A slot that was claimed while somebody was stopped in front of its doorbell is held without it, until that one
    /// goes on. Nothing else of it may be locked to wait with: another who is stopped would be in the way of the next
    /// claim. So it is looked at by the clock, at one call a look.
    /// - Returns: whether it came free.
    @discardableResult
    func awaitSlot(_ slot: Int, _ alarm: Alarm, _ limit: Duration) -> Bool {
        let end = Duration.monotonic() + limit
        while true {
            let rest = end - .monotonic()
            guard rest > .zero, self.await(LockSpace.doorbell(slot), alarm, rest) else { return false }
            guard description.conflict(with: .read, in: LockSpace.hold(slot)) != nil else { return true }
            guard alarm.sleep(min(Self.looksWithoutDoorbell, end - .monotonic())) else { return false }
        }
    }

    private static let looksWithoutDoorbell = Duration.milliseconds(5)
}
