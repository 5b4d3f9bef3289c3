internal import Glibc

extension Duration {
    /// CLOCK_BOOTTIME: goes on while the machine is suspended, and nobody sets it. Leases are measured by it.
    package static func sinceBoot() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
    }
}
