import SemQueueTestSupport
import Testing

/// One queue, and all kinds of users of it at the same time.
@Suite struct MixedTests {
    /// Tasks in several processes that use the library, and processes of `semq`: one line for all, each at its place in it.
    @Test func tasksAndProcessesTakeTurnsInOneLine() throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox, seconds: 0.005)
        let queue = sandbox.path("board.queue")
        let first = try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--"] + oracle.words + ["first", "go"])
        #expect(Event.happens { oracle.names == ["first"] })
        // They come in a motley order.
        let all = try (1...4).flatMap { number in
            [
                try sandbox.start(
                    [Machine.built("SemQueueLibraryClient"), queue, "6", "15"] + oracle.words + ["tasks"]),
                try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--"] + oracle.words + ["semq"]),
                try sandbox.start([Sandbox.binary, "acquire", "-q", queue, "--"] + oracle.words + ["semq"]),
            ]
        }
        #expect(sandbox.queue(queue) { $0.waiting.count == 32 })
        try sandbox.write("go", "")
        for running in [first] + all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(!all.contains { $0.out.contains("failed") || $0.out.contains("error") }, "\(all.map(\.out))")
        #expect(oracle.complaint == nil)
        #expect(oracle.names.count { $0 == "tasks" } == 24 && oracle.names.count { $0 == "semq" } == 8)
        #expect(oracle.entered.map { Int($0[1]) } == (1...33).map { $0 }, "in the order of their tickets")
        #expect(try sandbox.isFree(queue))
    }
}
