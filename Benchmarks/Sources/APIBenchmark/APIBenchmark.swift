import Glibc
import SemQueue

/// APIBenchmark QUEUE COUNT main|task: acquires and releases that often through the library, one after the other,
/// on the main actor or in a task of the pool, and prints the ns of each.
@main
struct APIBenchmark {
    @MainActor static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let count = Int(arguments[2]) else { exit(64) }
        let queue = try SemaphoreQueue(arguments[1])
        let times =
            arguments[3] == "main"
            ? try await measure(queue, count) : try await Task.detached { try await measure(queue, count) }.value
        for time in times { print(time) }
    }

    /// On the caller's actor, or in its task where there is none.
    static func measure(
        _ queue: SemaphoreQueue, _ count: Int, isolation: isolated (any Actor)? = #isolation
    ) async throws -> [UInt64] {
        // The first makes the file.
        for _ in 0..<100 { try await queue.withPermit { _ in } }
        var times: [UInt64] = []
        times.reserveCapacity(count)
        for _ in 0..<count {
            let start = now()
            try await queue.withPermit { _ in }
            times.append(now() - start)
        }
        return times
    }

    nonisolated static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
