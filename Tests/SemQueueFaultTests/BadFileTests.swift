import SemQueueTestSupport
import Testing

/// What can't serve as a queue file is refused, with its path and the reason.
@Suite struct BadFileTests {
    @Test func missingFolderIsNamed() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "nowhere/board.queue", "--", "true")
        #expect(result.status == .exited(73))
        #expect(
            result.err == "semq: nowhere/board.queue: there is no folder nowhere to make the queue in\n")
    }
}
