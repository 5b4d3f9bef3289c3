internal import Glibc

/// A wall-clock time in microseconds since 1970, as written in records. For people, never for safety.
public struct Timestamp: Hashable, Comparable, Sendable {
    public let microseconds: Int64

    /// - Parameter microseconds: since 1970; what lies before that or after the year 2255 is taken for the end that is
    ///   nearer. It may come from another host, or from a file that somebody has damaged, and is reckoned with.
    public init(_ microseconds: Int64) { self.microseconds = min(max(0, microseconds), Self.latest) }

    /// Two of them lie so far apart that nanoseconds can still be counted.
    private static let latest: Int64 = 9_000_000_000_000_000

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    package static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    /// How long ago it was; clocks of two hosts may make it negative.
    package func age(at now: Timestamp) -> Duration { .microseconds(now.microseconds - microseconds) }

    /// Such as `2026-11-23T04:10:55.123Z` (RFC 3339).
    public var rfc3339: String { "\(utc).\(padded(microseconds % 1_000_000 / 1000, 3))Z" }

    /// With microseconds: `2026-11-23T04:10:55.123456Z`.
    var rfc3339Precise: String { "\(utc).\(padded(microseconds % 1_000_000, 6))Z" }

    /// Reckoned here, because gmtime_r(3) reads the local time zone's file first.
    private var utc: String {
        let seconds = microseconds / 1_000_000
        let ofDay = seconds % 86_400
        // Years begin in March, so that the leap day is the last one; 400 of them have 146,097 days.
        let days = seconds / 86_400 + 719_468
        let ofEra = days % 146_097
        let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        let day = ofYear - (153 * month + 2) / 5 + 1
        let date =
            "\(padded(days / 146_097 * 400 + year + (month < 10 ? 0 : 1), 4))-"
            + "\(padded(month < 10 ? month + 3 : month - 9, 2))-\(padded(day, 2))"
        return "\(date)T\(padded(ofDay / 3600, 2)):\(padded(ofDay / 60 % 60, 2)):\(padded(ofDay % 60, 2))"
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
