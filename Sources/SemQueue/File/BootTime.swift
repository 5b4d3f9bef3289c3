internal import Glibc

/// A time on CLOCK_BOOTTIME, by which leases are reckoned: nobody sets it, and it goes on while the machine sleeps.
struct BootTime: Equatable, Sendable {
    /// Which boot it counts from: the first 16 digits of the kernel's random boot id; 0 where that can't be read.
    var boot: UInt64
    var milliseconds: Int64

    /// Tests pass clocks of their own.
    typealias Clock = @Sendable () -> BootTime

    static let clock: Clock = {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return BootTime(
            boot: thisBoot, milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000 - offset)
    }

    private static let thisBoot: UInt64 = {
        let digits = read("/proc/sys/kernel/random/boot_id").filter(\.isHexDigit).utf8
        return Hexadecimal.value(Array(digits.prefix(16))[...]) ?? 0
    }()

    /// What a time namespace adds, in milliseconds: all who share a queue must mean the same time.
    private static let offset: Int64 = {
        let line = read("/proc/self/timens_offsets").split(separator: "\n").first { $0.hasPrefix("boottime") }
        let words = line?.split(separator: " ").dropFirst().compactMap { Int64($0) } ?? []
        return words.count == 2 ? words[0] * 1000 + words[1] / 1_000_000 : 0
    }()

    private static func read(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}

/// When something that is kept for a length of time comes free, as written in records.
struct Expiry: Equatable, Sendable {
    var boot: UInt64
    /// Milliseconds on that boot's clock.
    var until: Int64

    init(boot: UInt64, until: Int64) {
        self.boot = boot
        self.until = until
    }

    init(_ length: Duration, from now: BootTime) {
        self.init(boot: now.boot, until: now.milliseconds + length.milliseconds)
    }

    /// How much of `length` is left: nothing is zero. After a reboot it is over once the machine has run for
    /// as long, for whoever is kept out was last heard of before.
    func remaining(of length: Duration, at now: BootTime) -> Duration {
        // From a file, in which anything may stand.
        let (difference, isBeyond) = until.subtractingReportingOverflow(now.milliseconds)
        let left = isBeyond ? .min : difference
        // Where a boot is unknown, more than all of it can only be another boot's.
        let isSameBoot = boot == now.boot && boot != 0 || (boot == 0 || now.boot == 0) && left <= length.milliseconds
        return .milliseconds(max(0, isSameBoot ? left : length.milliseconds - now.milliseconds))
    }
}

extension Duration {
    /// Saturates at the ends; parts of a millisecond are dropped.
    var milliseconds: Int64 { nanoseconds / 1_000_000 }
}
