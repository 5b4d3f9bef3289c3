internal import Glibc

/// A moment on the monotonic clock by which something must have happened.
struct Deadline: Hashable, Comparable, Sendable {
    /// Nanoseconds since boot.
    let nanoseconds: UInt64

    static let never = Deadline(nanoseconds: .max)

    static var now: Deadline {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Deadline(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// So long from now.
    static func after(_ duration: Duration) -> Deadline {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0 else { return now }
        let length = UInt64(min(seconds, 1 << 30)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
        return Deadline(nanoseconds: now.nanoseconds + length)
    }

    static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }

    var hasPassed: Bool { self <= .now }

    /// What is left; nothing once it has passed.
    var remaining: Duration {
        let now = Deadline.now.nanoseconds
        return .nanoseconds(now < nanoseconds ? Int64(min(nanoseconds - now, 1 << 62)) : 0)
    }

    /// What is left, as poll(2) takes it: rounded up, −1 without a limit.
    var milliseconds: Int32 {
        guard self != .never else { return -1 }
        let now = Deadline.now.nanoseconds
        guard now < nanoseconds else { return 0 }
        return Int32(min((nanoseconds - now + 999_999) / 1_000_000, UInt64(Int32.max)))
    }

    var time: timespec {
        timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    }
}
