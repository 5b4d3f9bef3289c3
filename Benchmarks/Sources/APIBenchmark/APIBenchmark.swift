import Glibc
import SemQueue

/// APIBenchmark QUEUE COUNT: acquires and releases that often through the library, one after the other, and
/// prints the ns of each.
@main
struct APIBenchmark {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let count = Int(arguments[2]) else { exit(64) }
        let queue = try SemaphoreQueue(arguments[1])
        // The first makes the file.
        for _ in 0..<100 { try await queue.withPermit { _ in } }
        var times: [UInt64] = []
        times.reserveCapacity(count)
        for _ in 0..<count {
            let start = now()
            try await queue.withPermit { _ in }
            times.append(now() - start)
        }
        for time in times { print(time) }
    }

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
