import Glibc
import SemQueue

/// SemQueueLibraryClient ADDRESS COUNT LEASE: takes that many turns at once through the library, with a lease of so many
/// seconds, and says what happens, a line each. One turn alone lasts until a line comes on standard input, or it is cancelled.
@main struct LibraryClient {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let count = Int(arguments[2]), let lease = Int(arguments[3]) else { exit(64) }
        let queue = try SemaphoreQueue(arguments[1])
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count {
                group.addTask { await turn(index, queue, .seconds(lease), waits: count == 1) }
            }
        }
    }

    private static func turn(_ index: Int, _ queue: SemaphoreQueue, _ lease: Duration, waits: Bool) async {
        do {
            try await queue.withPermit(.init(description: "turn \(index)", lease: lease)) { permit in
                let status = try await queue.status()
                say("in \(index) slot \(permit.slot) holders \(status.holders.count)")
                guard waits else { return }
                do {
                    try await input()
                } catch {
                    say("cancelled \(index)")
                    throw error
                }
            }
            say("out \(index)")
        } catch {
            say("error \(index): \(error)")
        }
    }

    /// Ends with a line on standard input, or by cancellation.
    private static func input() async throws {
        while true {
            try Task.checkCancellation()
            var event = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if poll(&event, 1, 0) > 0 { return }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private static func say(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}
