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
        var nudged = false
    }

    private let state = Guarded(State())
    private static let again: Int64 = 2_000_000

    /// One process-wide handler; see ``semq_alarm_install``.
    private static let installed: Void = semq_alarm_install()

    /// Whether somebody has rung. Stays true.
    package var isRung: Bool { state.withLock { $0.rung } }

    /// From any thread: the waiting thread's blocking calls return now and from now on.
    package func ring() {
        state.withLock { state in
            state.rung = true
            if let timer = state.timer { semq_alarm_set(timer, 1, Self.again) }
        }
    }

    /// From any thread: the blocking call that the thread is in, or else its next one, returns now.
    package func nudge() {
        state.withLock { state in
            state.nudged = true
            if let timer = state.timer { semq_alarm_set(timer, 1, Self.again) }
        }
    }

    /// Runs a blocking call of the calling thread, which ends with EINTR when time is up.
    /// - Parameter limit: nil waits until rung.
    /// - Returns: what the call returned, or EINTR without calling it when rung or nudged already.
    func limiting(_ limit: Duration?, _ call: () -> Int32) -> Int32 {
        Self.installed
        semq_alarm_unblock()
        var timer: semq_timer = 0
        guard semq_alarm_create(&timer) == 0 else { return poll(limit, call) }
        let isDue = state.withLock { state in
            guard !state.rung, !state.nudged else { return true }
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
    func sleep(_ limit: Duration) {
        let end = Duration.monotonic() + limit
        _ = limiting(limit) {
            var rest = timespec(max(.zero, end - .monotonic()))
            return nanosleep(&rest, nil) == 0 ? 0 : EINTR
        }
    }

    /// No timer is to be had (RLIMIT_SIGPENDING): a short sleep, and the caller looks again.
    private func poll(_ limit: Duration?, _ call: () -> Int32) -> Int32 {
        var pause = timespec(min(limit ?? .milliseconds(20), .milliseconds(20)))
        nanosleep(&pause, nil)
        return EINTR
    }
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
