import Glibc
import SemQueue

/// SemQueueLibraryClient ADDRESS COUNT LEASE [COMMAND...]: takes that many turns at once through the library, with a lease of
/// so many seconds, and says what happens, a line each. Each turn lasts as long as the command, which finds its permit in
/// the environment; without one, one turn alone lasts until a line comes on standard input, or it is cancelled.
@main struct LibraryClient {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4, let count = Int(arguments[2]), let lease = Int(arguments[3]) else { exit(64) }
        let queue = try SemaphoreQueue(arguments[1])
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count {
                group.addTask {
                    await turn(index, queue, .seconds(lease), Array(arguments[4...]), waits: count == 1)
                }
            }
        }
    }

    private static func turn(
        _ index: Int, _ queue: SemaphoreQueue, _ lease: Duration, _ command: [String], waits: Bool
    ) async {
        do {
            try await queue.withPermit(.init(description: "turn \(index)", lease: lease)) { permit in
                let status = try await queue.status()
                say("in \(index) slot \(permit.slot) holders \(status.holders.count)")
                guard command.isEmpty else { return run(command, permit) }
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

    /// Runs the command to its end.
    private static func run(_ command: [String], _ permit: Permit) {
        var words = command.map { strdup($0) } + [nil]
        var variables = permit.environment.map { strdup("\($0)=\($1)") } + [strdup("PATH=/usr/bin:/bin"), nil]
        defer { for string in words + variables { free(string) } }
        var pid: pid_t = 0
        var status: Int32 = 0
        guard posix_spawn(&pid, command[0], nil, nil, &words, &variables) == 0, waitpid(pid, &status, 0) == pid,
            status == 0
        else { return say("failed \(command)") }
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
