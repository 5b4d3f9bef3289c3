internal import CSemQueue
internal import Glibc

/// Ends a thread's blocking call at a set time, or at once when another thread rings.
///
/// A lock request can be left only by a signal, and a signal that comes just before the call blocks is
/// lost; so the timer repeats each few milliseconds until the thread has noticed.
package final class Alarm: Sendable {
    package init() {}

    /// Ignored by default, so that a stray one harms nobody.
    static var signal: Int32 { semq_alarm_signal() }

    private struct State {
        var timer: semq_timer?
        var rung = false
        var interrupted = false
        var nudged = false

        var isRung: Bool { rung || interrupted }
    }

    private let state = Guarded(State())
    private static let again: Int64 = 2_000_000

    /// One process-wide handler; see ``semq_alarm_install``.
    private static let installed: Void = semq_alarm_install()

    /// Whether somebody has rung, which stays, or has interrupted.
    package var isRung: Bool { state.withLock { $0.isRung } }

    /// From any thread: the waiting thread's blocking calls return now and from now on.
    package func ring() {
        state.withLock { state in
            state.rung = true
            if let timer = state.timer { semq_alarm_set(timer, 1, Self.again) }
        }
    }

    /// The waiting thread's own: the wait that it is in ends as if somebody had rung, and so does each until ``goOn()``.
    func interrupt() { state.withLock { $0.interrupted = true } }

    func goOn() { state.withLock { $0.interrupted = false } }

    /// From any thread: the blocking call that the thread is in, or else its next one, returns now.
    package func nudge() {
        state.withLock { state in
            state.nudged = true
            if let timer = state.timer { semq_alarm_set(timer, 1, Self.again) }
        }
    }

    /// Runs a blocking call of the calling thread, which ends with EINTR when time is up.
    /// - Parameters:
    ///   - limit: nil waits until rung.
    ///   - attempt: the same without blocking, which returns EAGAIN where the call would block: made now and then where
    ///     the system has no timer left to end that with.
    /// - Returns: what the call returned, or EINTR without calling it when rung or nudged already.
    func limiting(_ limit: Duration?, instead attempt: () -> Int32, _ call: () -> Int32) -> Int32 {
        Self.installed
        semq_alarm_unblock()
        var timer: semq_timer = 0
        guard semq_alarm_create(&timer) == 0 else { return poll(limit, attempt) }
        let isDue = state.withLock { state in
            guard !state.isRung, !state.nudged else { return true }
            state.timer = timer
            semq_alarm_set(timer, limit.map { max(1, $0.nanoseconds) } ?? 0, Self.again)
            return false
        }
        let result = isDue ? EINTR : call()
        state.withLock { state in
            state.timer = nil
            state.nudged = false
        }
        semq_alarm_delete(timer)
        return result
    }

    /// Sleeps for `limit`, or until rung or nudged.
    /// - Returns: whether it was for the whole time.
    @discardableResult
    func sleep(_ limit: Duration) -> Bool {
        let end = Duration.monotonic() + limit
        _ = limiting(limit, instead: { EAGAIN }) {
            var rest = timespec(max(.zero, end - .monotonic()))
            return nanosleep(&rest, nil) == 0 ? 0 : EINTR
        }
        return .monotonic() >= end
    }

    /// No timer is to be had (RLIMIT_SIGPENDING), and nothing could end a call that blocks: tries again and again.
    private func poll(_ limit: Duration?, _ attempt: () -> Int32) -> Int32 {
        let end = limit.map { Duration.monotonic() + $0 }
        var pause = Duration.milliseconds(1)
        while true {
            let isDue = state.withLock { state in
                defer { state.nudged = false }
                return state.isRung || state.nudged
            }
            if isDue { return EINTR }
            let result = attempt()
            guard result == EAGAIN else { return result }
            let rest = end.map { $0 - .monotonic() } ?? Self.longestPause
            guard rest > .zero else { return EINTR }
            var time = timespec(min(pause, rest))
            // By a signal: whoever waits is sent for.
            guard nanosleep(&time, nil) == 0 else { return EINTR }
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private static let longestPause = Duration.milliseconds(20)
}

extension Duration {
    /// Saturates at the ends of Int64 (292 years).
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow
            ? (seconds < 0 ? .min : .max) : whole.addingReportingOverflow(attoseconds / 1_000_000_000).partialValue
    }

    /// CLOCK_MONOTONIC, which no one sets.
    package static func monotonic() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
    }
}

extension timespec {
    init(_ duration: Duration) {
        let nanoseconds = duration.nanoseconds
        self.init(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    }
}
