import Foundation
import SemQueueTestSupport
import Testing

/// For tests that make test hosts. Each runs on a thread of its own: they mostly wait for processes, and would keep
/// the few threads on which all tests run from the others.
struct OnHosts: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }
    /// While no other such test runs.
    var isAlone = false

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        guard Machine.has(.hosts) else { return }
        try await withTaskExecutorPreference(NewThread()) {
            begin()
            defer { end() }
            try await function()
        }
    }

    /// Leases are seconds long: on a machine with more to do than it can, connections come too late.
    private static let most = 4 * ProcessInfo.processInfo.activeProcessorCount
    private static let atOnce = DispatchSemaphore(value: most)
    private static let alone = DispatchSemaphore(value: 1)

    // Not to be called from async code, which is for threads that others run on too.
    private func begin() {
        if isAlone { Self.alone.wait() }
        for _ in 0..<(isAlone ? Self.most : 1) { Self.atOnce.wait() }
    }

    private func end() {
        for _ in 0..<(isAlone ? Self.most : 1) { Self.atOnce.signal() }
        if isAlone { Self.alone.signal() }
    }

    private final class NewThread: TaskExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            Thread.detachNewThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        }
    }
}

extension Trait where Self == OnHosts {
    static var onHosts: OnHosts { OnHosts() }
    static var aloneOnHosts: OnHosts { OnHosts(isAlone: true) }
}
