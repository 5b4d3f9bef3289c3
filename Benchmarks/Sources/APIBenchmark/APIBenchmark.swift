import Glibc
import SemQueue

/// APIBenchmark QUEUE COUNT main|task|status: acquires and releases that often through the library, one after the
/// other, on the main actor or in a task of the pool, or asks who holds and waits; prints the ns of each.
@main
struct APIBenchmark {
    @MainActor static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let count = Int(arguments[2]) else { exit(64) }
        let queue = try SemaphoreQueue(arguments[1])
        let times =
            switch arguments[3] {
            case "main": try await measure(count) { try await queue.withPermit { _ in } }
            case "task":
                try await Task.detached { try await measure(count) { try await queue.withPermit { _ in } } }.value
            case "status": try await measure(count) { _ = try await queue.status() }
            default: exit(64)
            }
        for time in times { print(time) }
    }

    /// On the caller's actor, or in its task where there is none.
    static func measure(
        _ count: Int, isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Void
    ) async throws -> [UInt64] {
        // The first makes the file, or the connection.
        for _ in 0..<100 { try await body() }
        var times: [UInt64] = []
        times.reserveCapacity(count)
        for _ in 0..<count {
            let start = now()
            try await body()
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
