internal import Glibc

/// A wall-clock time in microseconds since 1970, as written in records. For people, never for safety.
public struct Timestamp: Hashable, Comparable, Sendable {
    public let microseconds: Int64

    public init(_ microseconds: Int64) { self.microseconds = microseconds }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    package static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    /// How long ago it was; clocks of two hosts may make it negative.
    package func age(at now: Timestamp) -> Duration { .microseconds(now.microseconds - microseconds) }

    /// Such as `2026-11-23T04:10:55.123Z` (RFC 3339).
    public var rfc3339: String {
        let time = fields(gmtime_r)
        let milliseconds = microseconds % 1_000_000 / 1000
        return "\(time.date)T\(time.clock).\(padded(milliseconds, 3))Z"
    }

    /// The local time of day, such as `14:02:11`; with the date where that is another day.
    package func local(relativeTo now: Timestamp) -> String {
        let time = fields(localtime_r)
        return time.date == now.fields(localtime_r).date ? time.clock : "\(time.date) \(time.clock)"
    }

    private func fields(
        _ convert: (UnsafePointer<time_t>?, UnsafeMutablePointer<tm>?) -> UnsafeMutablePointer<tm>?
    ) -> (date: String, clock: String) {
        var seconds = time_t(microseconds / 1_000_000)
        var parts = tm()
        _ = convert(&seconds, &parts)
        return (
            "\(padded(Int64(parts.tm_year) + 1900, 4))-\(padded(Int64(parts.tm_mon) + 1, 2))-\(padded(Int64(parts.tm_mday), 2))",
            "\(padded(Int64(parts.tm_hour), 2)):\(padded(Int64(parts.tm_min), 2)):\(padded(Int64(parts.tm_sec), 2))"
        )
    }

    private func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
