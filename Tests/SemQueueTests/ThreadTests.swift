import Foundation
import Glibc
import Synchronization
import Testing

@testable import SSHTransport
@testable import SemQueue

/// Threads are started in one place of each module, and take no signal that is not theirs.
@Suite struct ThreadTests {
    private static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Sources")
    private static let starters = ["SemQueue/Support/BlockingThread.swift", "SSHTransport/Support/SessionThread.swift"]

    @Test func nobodyElseStartsThreads() throws {
        let start = try Regex(
            #"\bpthread_create\b|\bthrd_create\b|\bThread\(|\bThread\.detach|\bDispatch[A-Z(]|import Dispatch|CLONE_THREAD|\bSIGEV_THREAD\b"#
        )
        var found: [String] = []
        let files = try #require(FileManager.default.enumerator(atPath: Self.sources.path))
        for case let name as String in files where ["swift", "c", "h"].contains((name as NSString).pathExtension) {
            let text = try String(contentsOf: Self.sources.appendingPathComponent(name), encoding: .utf8)
            if text.contains(start) { found.append(name) }
        }
        #expect(Set(found) == Set(Self.starters))
    }

    /// The signals that a thread lets through, which are none but an alarm's, where one was waited with.
    private static func open() -> [Int32] {
        var mask = sigset_t()
        pthread_sigmask(SIG_SETMASK, nil, &mask)
        // Those that can't be blocked, and those that glibc keeps for itself.
        return (1..<32).filter { $0 != SIGKILL && $0 != SIGSTOP && sigismember(&mask, $0) == 0 }
    }

    @Test func aBlockingThreadTakesNoSignalButItsAlarms() throws {
        let seen = Guarded<[[Int32]]>([])
        try BlockingThread.start {
            let before = Self.open()
            Alarm().sleep(.microseconds(1))
            seen.withLock { $0 = [before, Self.open()] }
        }.join()
        #expect(seen.withLock { $0 } == [[], [Alarm.signal]])
    }

    @Test func aSessionThreadTakesNoSignal() throws {
        let seen = Guarded<[[Int32]]>([])
        try #require(SessionThread.start { seen.withLock { $0 = [Self.open()] } }).join()
        #expect(seen.withLock { $0 } == [[]])
    }

    /// Whoever starts one keeps its own mask.
    @Test func theStartersMaskIsKept() throws {
        let before = Self.open()
        try BlockingThread.start {}.join()
        #expect(Self.open() == before)
    }
}
